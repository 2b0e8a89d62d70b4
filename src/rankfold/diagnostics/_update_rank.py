"""The rank of what training changes: spectra of the difference to the weights at the start."""

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor, nn

from rankfold._errors import OptionError, ShapeError
from rankfold.convert import RULES
from rankfold.diagnostics._spectrum import Spectrum, spectrum
from rankfold.layers import FormatLayer, require_module

__all__ = ["UpdateRank", "suggested_ranks"]


class UpdateRank:
    """Keeps a copy of the weights of a model and tells the spectra of what has changed since.

    Call the object with the number of a step wherever the training loop has one; ``history`` then holds the spectra
    over time. The copies lie on the CPU.

    Arguments:
        model: any module; factorised layers count with their dense weight.
        reference: a state dictionary to compare with, such as that of the pretrained model; None means now.

    Raises:
        OptionError: no layer with a weight, or a reference that lacks one.

    Reference:
        Li, Wang, Zhang, Liu and Chen 2024, "Learning on Transformers is Provable Low-Rank and Sparse".

    Example:
        >>> model = nn.Sequential(nn.Linear(8, 6))
        >>> update = UpdateRank(model)
        >>> with torch.no_grad():
        ...     _ = model[0].weight.add_(torch.outer(torch.ones(6), torch.ones(8)))
        >>> update(1)
        >>> update.spectra()[0].rank_at(0.99), sorted(update.history)
        (1, [1])
    """

    def __init__(self, model: nn.Module, reference: Mapping[str, Tensor] | None = None) -> None:
        require_module(model, "UpdateRank")
        if reference is not None and not isinstance(reference, Mapping):
            raise OptionError(
                f"UpdateRank: reference is a {type(reference).__name__}; pass a state dictionary, or None for now."
            )
        self.model = model
        #: Spectra by step.
        self.history: dict[int, tuple[Spectrum, ...]] = {}
        weights = dict(_weights(model))
        if not weights:
            raise OptionError(
                "UpdateRank: the model has no linear, convolution or embedding layer to compare; pass one that has."
            )
        self._reference: dict[str, Tensor] = {}
        for name, weight in weights.items():
            key = f"{name}.weight" if name else "weight"
            other = weight if reference is None else reference.get(key)
            if other is None or other.shape != weight.shape:
                got = "none" if other is None else tuple(other.shape)
                raise OptionError(
                    f"UpdateRank: the reference has {got} for {key!r}, the model a weight of shape "
                    f"{tuple(weight.shape)}; pass the state of the same model."
                )
            self._reference[name] = other.detach().to("cpu", copy=True)

    def __call__(self, step: int) -> None:
        """Write down the spectra at a step."""
        self.history[step] = self.spectra()

    @torch.no_grad()
    def spectra(self) -> tuple[Spectrum, ...]:
        """Of every changed weight: of a matrix one, of others one per channel mode.

        Raises:
            NonFiniteError: a weight holds NaN or infinity; names the layer.
            ShapeError: a layer is new, or its weight has another shape.
        """
        found = []
        for name, weight in _weights(self.model):
            reference = self._reference.get(name)
            if reference is None or reference.shape != weight.shape:
                got = "none" if reference is None else f"one of shape {tuple(reference.shape)}"
                raise ShapeError(
                    f"UpdateRank: layer {name!r} has a weight of shape {tuple(weight.shape)} and had {got} at the "
                    "start; make a new one after the model was changed."
                )
            change = weight.cpu().double() - reference.double()
            found += [spectrum(change, mode, name=name) for mode in ((0,) if change.ndim == 2 else (0, 1))]
        return tuple(found)


def suggested_ranks(spectra: Sequence[Spectrum], energy: float = 0.99) -> dict[str, int]:
    """A rank for every layer: the smallest that holds a share of the squared norm along each of its modes.

    Arguments:
        spectra: of :class:`UpdateRank`, for adapters, or of :func:`weight_spectra`, for factorised layers.
        energy: the share, in (0, 1].

    Returns:
        Ranks by name, as :func:`rankfold.set_ranks` takes them.

    Raises:
        OptionError: a share out of range, or no spectra.

    Example:
        >>> suggested_ranks((Spectrum(name="fc", shape=(3, 4), mode=0, values=(3.0, 1.0, 0.1)),), 0.95)
        {'fc': 2}
    """
    if not isinstance(spectra, Sequence) or not all(isinstance(one, Spectrum) for one in spectra):
        raise OptionError("suggested_ranks: got something else than spectra; pass those of UpdateRank.")
    ranks: dict[str, int] = {}
    for one in spectra:
        ranks[one.name] = max(ranks.get(one.name, 1), one.rank_at(energy))
    return ranks


def _weights(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, module in model.named_modules():
        dense = any(rule.dense is not None and type(module) is rule.dense for rule in RULES.values())
        if dense or isinstance(module, FormatLayer):
            weight = module.weight
            assert isinstance(weight, Tensor)
            yield name, weight.detach()
