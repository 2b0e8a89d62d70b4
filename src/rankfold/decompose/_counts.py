"""Counts as the Poisson likelihood sees them, whatever form they come in.

Axes: n_i dimensions, R components, E listed entries. The loss is ``sum model - x log(model + eps)`` over the observed
entries; its derivative by a factor is ``total - pull``, both non-negative.
"""

from collections.abc import Sequence
from functools import reduce
from typing import Protocol

import torch
from torch import Tensor

from rankfold._errors import OptionError
from rankfold.decompose._complete import CompleteData
from rankfold.decompose._data import Data
from rankfold.decompose._masked import MaskedData
from rankfold.decompose._sparse import SparseData
from rankfold.decompose._tree import mttkrp
from rankfold.formats import balanced_outer

__all__ = ["Counts", "DenseCounts", "SparseCounts", "counts_of"]

# The eps of the logarithm relative to the largest count: far below any rate that counts can tell from zero.
_EPSILON = 1e-10


class Counts(Protocol):
    """What the updates for the Poisson loss ask."""

    def loss(self, factors: Sequence[Tensor]) -> float:
        """``sum model - x log(model + eps)``."""
        ...

    def pull(self, factors: Sequence[Tensor], mode: int) -> Tensor:
        """MTTKRP of ``x / (model + eps)``, ``(n_mode, R)``."""
        ...

    def total(self, factors: Sequence[Tensor], mode: int) -> Tensor:
        """MTTKRP of ones at the observed entries: ``(n_mode, R)``, or ``(R,)`` where it is the same for all rows."""
        ...


class DenseCounts:
    """Counts in dense form, with or without gaps.

    Arguments:
        tensor: non-negative, zero where unobserved.
        weights: 1 where observed and 0 elsewhere, or None.
    """

    def __init__(self, tensor: Tensor, weights: Tensor | None) -> None:
        self._tensor, self._weights = tensor, weights
        self._epsilon = _EPSILON * float(tensor.max())

    def loss(self, factors: Sequence[Tensor]) -> float:
        """``sum model - x log(model + eps)``."""
        model = balanced_outer(factors)
        terms = model - self._tensor * (model + self._epsilon).log()
        if self._weights is not None:
            terms = terms * self._weights
        return float(terms.sum(dtype=torch.float64))

    def pull(self, factors: Sequence[Tensor], mode: int) -> Tensor:
        """MTTKRP of the ratio."""
        return mttkrp(self._tensor / balanced_outer(factors).add_(self._epsilon), factors, mode)

    def total(self, factors: Sequence[Tensor], mode: int) -> Tensor:
        """MTTKRP of the observed places."""
        if self._weights is not None:
            return mttkrp(self._weights, factors, mode)
        return _column_sums(factors, mode)


class SparseCounts:
    """Counts listed by coordinates, all others being zero: the logarithm is needed at the listed ones only.

    Arguments:
        data: non-negative.
    """

    def __init__(self, data: SparseData) -> None:
        self._data = data
        self._epsilon = _EPSILON * float(data.values.max())

    def loss(self, factors: Sequence[Tensor]) -> float:
        """``sum model - x log(model + eps)``; the sum of the model is that of products of column sums."""
        rates = (self._data.model_values(factors) + self._epsilon).log()
        return float(_column_sums(factors).sum() - (self._data.values.double() * rates).sum())

    def pull(self, factors: Sequence[Tensor], mode: int) -> Tensor:
        """MTTKRP of the ratio."""
        ratio = self._data.values / (self._data.model_values(factors) + self._epsilon)
        return self._data.mttkrp(factors, mode, ratio)

    def total(self, factors: Sequence[Tensor], mode: int) -> Tensor:
        """Product of the column sums of the other factors, ``(R,)``."""
        return _column_sums(factors, mode)


def counts_of(where: str, data: Data) -> Counts:
    """The view of data as counts.

    Arguments:
        where: the caller's name, for the messages.
        data: complete, masked or sparse. The scale does not matter: the loss of scaled counts is the scaled loss.

    Raises:
        OptionError: negative entries, or data of another kind.
    """
    if not isinstance(data, CompleteData | MaskedData | SparseData):
        raise OptionError(
            f"{where}: loss='poisson' takes dense, masked or sparse tensors, got {type(data).__name__}; "
            "use loss='squared' for it."
        )
    values = data.values if isinstance(data, SparseData) else data.tensor
    negative = int((values < 0).sum())
    if negative:
        raise OptionError(
            f"{where}: loss='poisson' is for counts, but {negative} entries are negative (the smallest is "
            f"{float(values.min()):.3g} after scaling); use loss='squared'."
        )
    if isinstance(data, SparseData):
        return SparseCounts(data)
    return DenseCounts(data.tensor, data.weights if isinstance(data, MaskedData) else None)


def _column_sums(factors: Sequence[Tensor], mode: int | None = None) -> Tensor:
    sums = [factor.sum(0, dtype=torch.float64) for axis, factor in enumerate(factors) if axis != mode]
    return reduce(torch.mul, sums).to(factors[0].dtype if mode is not None else torch.float64)
