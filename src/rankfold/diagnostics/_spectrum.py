"""Spectra of unfoldings, and the ranks that one reads from them."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rankfold._checks import check_tensors
from rankfold._errors import NonFiniteError, OptionError, ShapeError
from rankfold.convert import RULES
from rankfold.layers import FactorizedLayer, FormatLayer, require_module
from rankfold.linalg import left_singular, unfold

__all__ = ["Spectrum", "spectrum", "weight_spectra"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Spectrum:
    """Singular values of one unfolding of a tensor.

    Arguments:
        name: of the layer it belongs to; empty for a tensor alone.
        shape: of the tensor.
        mode: that the rows of the unfolding run along.
        values: largest first, as many as the smaller side has.
    """

    name: str = ""
    shape: tuple[int, ...]
    mode: int
    values: tuple[float, ...]

    @property
    def stable_rank(self) -> float:
        """Squared norm over the square of the largest singular value, 0 for zero (Rudelson and Vershynin 2007)."""
        largest = self.values[0] if self.values else 0.0
        return sum((value / largest) ** 2 for value in self.values) if largest else 0.0

    @property
    def effective_rank(self) -> float:
        """The exponential of the entropy of the singular values as shares of their sum (Roy and Vetterli 2007)."""
        values = torch.tensor(self.values, dtype=torch.float64)
        total = float(values.sum())
        return float(torch.special.entr(values / total).sum().exp()) if total else 0.0

    def energy(self, rank: int) -> float:
        """Share of the squared norm that the largest ``rank`` singular values hold; 1 for zero."""
        values = torch.tensor(self.values, dtype=torch.float64).square()
        total = float(values.sum())
        return float(values[:rank].sum()) / total if total else 1.0

    def rank_at(self, share: float) -> int:
        """The smallest rank that holds this share of the squared norm, at least 1.

        Raises:
            OptionError: a share outside (0, 1].
        """
        if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share <= 1:
            raise OptionError(f"Spectrum.rank_at: share must lie in (0, 1], got {share!r}; 0.99 keeps 99 %.")
        values = torch.tensor(self.values, dtype=torch.float64).square()
        needed = share * values.sum() * (1 - 1e-12)  # or the rounding of a whole sum would ask for all
        return min(int((values.cumsum(0) < needed).sum()) + 1, max(len(values), 1))


@torch.no_grad()
def spectrum(tensor: Tensor, mode: int = 0, *, name: str = "") -> Spectrum:
    """The singular values of an unfolding, in float64.

    Arguments:
        tensor: of order 2 or more.
        mode: the rows run along it.
        name: kept in the result.

    Raises:
        ShapeError: of another order, or empty.
        NonFiniteError: NaN or infinity.

    Example:
        >>> found = spectrum(torch.diag(torch.tensor([4.0, 2.0, 2.0])))
        >>> found.stable_rank, found.rank_at(0.6), found.energy(1)
        (1.5, 1, 0.6666666666666666)
    """
    check_tensors("spectrum", (tensor,))
    known = isinstance(mode, int) and -tensor.ndim <= mode < tensor.ndim
    if tensor.ndim < 2 or tensor.numel() == 0 or not known:
        raise ShapeError(
            f"spectrum: got shape {tuple(tensor.shape)} and mode {mode}; pass a tensor of order 2 or more and one of "
            "its modes."
        )
    if not bool(tensor.isfinite().all()):
        raise NonFiniteError(f"spectrum: {name or 'the tensor'} holds NaN or infinity; mend it first.")
    values = left_singular(unfold(tensor, mode % tensor.ndim), "svd")[1]
    return Spectrum(
        name=name, shape=tuple(tensor.shape), mode=mode % tensor.ndim, values=tuple(values.tolist())
    )


def weight_spectra(model: nn.Module) -> tuple[Spectrum, ...]:
    """The spectra of all weights of linear, convolution and embedding layers, dense or factorised.

    Matrices have one spectrum, other weights one for each of their channel modes. Of Tucker layers only the small core
    is decomposed.

    Arguments:
        model: any module.

    Raises:
        NonFiniteError: a weight holds NaN or infinity; names the layer.

    Reference:
        Rudelson and Vershynin 2007, "Sampling from large matrices"; Roy and Vetterli 2007, "The effective rank".

    Example:
        >>> model = nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> [(one.name, one.shape, len(one.values)) for one in weight_spectra(model)]
        [('0', (4, 6), 4), ('2', (2, 4), 2)]
    """
    require_module(model, "weight_spectra")
    found = []
    for name, module in model.named_modules():
        if isinstance(module, FactorizedLayer):
            found += _of_factors(name, module)
        elif isinstance(module, FormatLayer) or any(
            rule.dense is not None and type(module) is rule.dense for rule in RULES.values()
        ):
            weight = module.weight
            assert isinstance(weight, Tensor)
            found += [
                spectrum(weight.detach(), mode, name=name) for mode in ((0,) if weight.ndim == 2 else (0, 1))
            ]
    return tuple(found)


def _of_factors(name: str, layer: FactorizedLayer) -> list[Spectrum]:
    tucker = layer.tucker.orthonormalize()
    modes = layer.modes[:1] if len(layer.weight_shape) == 2 else layer.modes
    return [
        Spectrum(
            name=name,
            shape=layer.weight_shape,
            mode=mode,
            values=spectrum(tucker.core.detach(), mode, name=name).values,
        )
        for mode in modes
    ]
