"""The CP format: a sum of outer products, ``sum_r w_r a_r^(1) o ... o a_r^(d)``."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rankfold._errors import ShapeError

__all__ = ["CP"]


@dataclass(frozen=True, slots=True, eq=False)
class CP:
    """A tensor written as a weighted sum of outer products of vectors.

    Arguments:
        weights: ``(R,)``, floating point.
        factors: per mode a matrix ``(n_i, R)``, two or more.

    Raises:
        ShapeError: weights and factors do not belong together.

    Reference:
        Kolda and Bader 2009, "Tensor decompositions and applications", section 3.

    Example:
        >>> import torch
        >>> t = CP(torch.tensor([2.0]), (torch.ones(3, 1), torch.ones(4, 1)))
        >>> t.shape, t.rank
        ((3, 4), 1)
    """

    weights: Tensor
    factors: tuple[Tensor, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "factors", tuple(self.factors))
        weights, factors = self.weights, self.factors
        if weights.ndim != 1 or len(factors) < 2 or not weights.is_floating_point():
            raise ShapeError(
                f"CP: got {weights.dtype} weights of shape {tuple(weights.shape)} with {len(factors)} factors; "
                "pass floating-point weights of shape (R,) and two or more factors (n, R)."
            )
        for mode, factor in enumerate(factors):
            if factor.ndim != 2 or factor.shape[1] != weights.shape[0]:
                raise ShapeError(
                    f"CP: the factor of mode {mode} has shape {tuple(factor.shape)}; with {weights.shape[0]} "
                    f"weights it must be (n, {weights.shape[0]})."
                )
            if factor.dtype != weights.dtype or factor.device != weights.device:
                raise ShapeError(
                    f"CP: the factor of mode {mode} is {factor.dtype} on {factor.device}, the weights "
                    f"{weights.dtype} on {weights.device}; bring them to one dtype and device with .to()."
                )

    @property
    def order(self) -> int:
        """Number of modes d."""
        return len(self.factors)

    @property
    def rank(self) -> int:
        """Number of components R."""
        return self.weights.shape[0]

    @property
    def shape(self) -> tuple[int, ...]:
        """Dimensions (n_1, ..., n_d) of the tensor."""
        return tuple(factor.shape[0] for factor in self.factors)

    def to_dense(self) -> Tensor:
        """Multiply out; differentiable.

        Returns:
            The tensor of ``shape``.
        """
        return balanced_outer(self.factors, self.weights)


def balanced_outer(factors: Sequence[Tensor], weights: Tensor | None = None) -> Tensor:
    """The dense tensor of CP factors as one matrix product of two partial outer products of like size."""
    shape = [factor.shape[0] for factor in factors]
    split, left = 1, shape[0]
    total = torch.Size(shape).numel()
    while split < len(shape) - 1 and left * left * shape[split] < total:
        left *= shape[split]
        split += 1
    first = factors[0] if weights is None else factors[0] * weights
    return (_columns([first, *factors[1:split]]) @ _columns(factors[split:]).mT).view(shape)


def _columns(factors: Sequence[Tensor]) -> Tensor:
    """Column-wise outer products, ``(n_1 ... n_k, R)``."""
    result = factors[0]
    for factor in factors[1:]:
        result = (result.unsqueeze(1) * factor).flatten(0, 1)
    return result
