"""Dropping rank indices of weights at random."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from rankfold._checks import check_number
from rankfold._errors import OptionError
from rankfold.formats import Format
from rankfold.layers import FormatLayer, FormatWeight, require_module

__all__ = ["LatentDropout", "latent_dropout", "remove_latent_dropout"]


class LatentDropout(nn.Module):
    """Leaves out each value of each rank index of a weight with some probability, and scales up what stays.

    The mean over all draws is the weight itself: every index that is dropped from is scaled by its own factor, one too
    small to be dropped from by none. One value of an index always stays, and the factor takes that into account. The
    mask multiplies the core, the weights of the components or one core of the train; nothing dense is formed.

    :func:`latent_dropout` attaches it to the layers of a model.

    Arguments:
        p: probability in [0, 1) of leaving a value out, of all indices or by name as ``latent_axes()`` gives them;
            indices that are not named are left whole.
        min_size: an index of fewer values is left whole; 4 spares the modes of a 3 x 3 window.
        at_test: drop in evaluation too, which makes a network random there.
        generator: source of the masks; None is torch's global one, whose state TDLRT repeats for the second pass of a
            step with a closure.

    Raises:
        OptionError: a probability or size out of range.

    Reference:
        Kolbeinsson et al. 2021, "Tensor dropout for robust learning"; Bulat et al. 2021, "Defensive tensorization".

    Example:
        >>> import torch
        >>> from rankfold import CP
        >>> dropout = LatentDropout(0.5, generator=torch.Generator().manual_seed(1))
        >>> dropout(CP(torch.ones(8), (torch.ones(3, 8), torch.ones(4, 8)))).weights.count_nonzero()
        tensor(4)
    """

    def __init__(
        self,
        p: float | Mapping[str, float] = 0.1,
        *,
        min_size: int = 4,
        at_test: bool = False,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        for rate in p.values() if isinstance(p, Mapping) else [p]:
            check_number("LatentDropout", "p", rate, 0, 1)
        if isinstance(min_size, bool) or not isinstance(min_size, int) or min_size < 1:
            raise OptionError(
                f"LatentDropout: min_size must be a whole number of 1 or more, got {min_size!r}; pass such a number."
            )
        self.p = dict(p) if isinstance(p, Mapping) else p
        self.min_size, self.at_test, self.generator = min_size, at_test, generator

    def forward(self, value: Format) -> Format:
        """A value of the same shape and ranks, or the value itself where nothing is dropped."""
        if not (self.training or self.at_test):
            return value
        for axis, size in value.latent_axes().items():
            rate = self.p.get(axis, 0.0) if isinstance(self.p, dict) else self.p
            if rate > 0 and size >= self.min_size:
                value = value.scale_latent(axis, self._mask(size, rate, value.device))
        return value

    def _mask(self, size: int, rate: float, device: torch.device) -> Tensor:
        """Zeros, and the same number where a value stays; its mean is 1."""
        place = device if self.generator is None else self.generator.device
        drawn = torch.rand(size, generator=self.generator, device=place)
        kept = (drawn >= rate).double()
        kept[drawn.argmax()] = 1.0  # the largest draw stays in any case, so one does
        return (kept / (1 - rate + rate**size / size)).to(device)

    def extra_repr(self) -> str:
        """What the printed module tells."""
        return f"p={self.p}, min_size={self.min_size}, at_test={self.at_test}"


def latent_dropout(
    model: nn.Module,
    p: float | Mapping[str, float] = 0.1,
    *,
    min_size: int = 4,
    at_test: bool = False,
    generator: torch.Generator | None = None,
) -> tuple[str, ...]:
    """Attach :class:`LatentDropout` to every weight of a model that is in a format, in place of one that is there.

    It acts in training, as other dropout does, at whatever ranks the weights have by then, so that TDLRT can change
    them. State dictionaries, :func:`rankfold.save` and :func:`rankfold.fold` do not see it.

    Under ``TDLRT(core_steps=1)`` without a closure a cycle takes two backward passes, because the masks of a pass are
    in its gradients.

    Arguments:
        model: a module with weights in a format.
        p, min_size, at_test, generator: as of :class:`LatentDropout`.

    Returns:
        The names of the layers.

    Raises:
        OptionError: an argument out of range, no weight in a format, or the name of an index that none has.

    Example:
        >>> import rankfold as rf
        >>> model = nn.Sequential(nn.Linear(20, 10), nn.ReLU(), nn.Linear(10, 5))
        >>> _ = rf.factorize(model, 4)
        >>> latent_dropout(model, 0.2)
        ('0', '2')
        >>> model[0].perturb
        LatentDropout(p=0.2, min_size=4, at_test=False)
    """
    require_module(model, "latent_dropout")
    LatentDropout(p, min_size=min_size)
    weights = {name: module for name, module in model.named_modules() if _has_format(module)}
    if not weights:
        raise OptionError(
            "latent_dropout: no weight of the model is in a format; call rankfold.factorize(model) first, or use "
            "nn.Dropout."
        )
    known = {axis for module in weights.values() for axis in _format(module).latent_axes()}
    unknown = [axis for axis in p if axis not in known] if isinstance(p, Mapping) else []
    if unknown:
        raise OptionError(
            f"latent_dropout: no weight has a rank index {unknown[0]!r}; known are {', '.join(sorted(known))}."
        )
    for module in weights.values():
        dropout = LatentDropout(p, min_size=min_size, at_test=at_test, generator=generator)
        module.perturb = dropout.train(module.training)
    return tuple(name.removesuffix("parametrizations.weight.0").removesuffix(".") for name in weights)


def remove_latent_dropout(model: nn.Module) -> None:
    """Take :class:`LatentDropout` off the layers of a model, in place.

    Arguments:
        model: any module.

    Example:
        >>> from rankfold.layers import Linear
        >>> model = Linear(8, 6, rank=4)
        >>> _ = latent_dropout(model, 0.2)
        >>> remove_latent_dropout(model)
        >>> hasattr(model, "perturb")
        False
    """
    require_module(model, "remove_latent_dropout")
    for module in model.modules():
        if _has_format(module) and isinstance(module._modules.get("perturb"), LatentDropout):
            del module.perturb


def _has_format(module: nn.Module) -> bool:
    return isinstance(module, FormatLayer | FormatWeight)


def _format(module: nn.Module) -> Format:
    if isinstance(module, FormatLayer):
        return module.value
    assert isinstance(module, FormatWeight)
    return module.template
