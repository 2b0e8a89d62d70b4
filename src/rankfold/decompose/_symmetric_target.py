"""Symmetric tensors that the homogeneous flow approximates.

Axes: m directions, d dimensions, l order, r components of the target; leading axes are independent runs.
"""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

__all__ = ["ComponentTarget", "DenseTarget", "Target"]


class Target(Protocol):
    """A symmetric tensor to be approximated."""

    @property
    def order(self) -> int:
        """Number of modes l."""
        ...

    def contract(self, directions: Tensor) -> Tensor:
        """The tensor times every direction in all modes but one: ``(..., m, d)`` to ``(..., m, d)``."""
        ...

    def squared_norm(self) -> Tensor:
        """Square of the Frobenius norm, one per run."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class ComponentTarget:
    """The target ``sum_j t_j v_j^(x)l``, never multiplied out.

    Arguments:
        vectors: ``(..., r, d)``.
        weights: ``(..., r)``.
        order: number of modes, 2 or more.
    """

    vectors: Tensor
    weights: Tensor
    order: int

    def contract(self, directions: Tensor) -> Tensor:
        """``sum_j t_j <v_j, x>^(l-1) v_j`` for every direction x."""
        powers = (directions @ self.vectors.mT) ** (self.order - 1)
        return (powers * self.weights.unsqueeze(-2)) @ self.vectors

    def squared_norm(self) -> Tensor:
        """``t K t`` with the Gram matrix K of the components."""
        gram = (self.vectors @ self.vectors.mT) ** self.order
        return torch.einsum("...i,...ij,...j->...", self.weights, gram, self.weights)


@dataclass(frozen=True, slots=True, eq=False)
class DenseTarget:
    """A target given by all its entries.

    Arguments:
        tensor: symmetric, ``(d, ..., d)``.
    """

    tensor: Tensor

    @property
    def order(self) -> int:
        """Number of modes."""
        return self.tensor.ndim

    def contract(self, directions: Tensor) -> Tensor:
        """One mode after another: the first by a matrix product, the others component by component."""
        rows = directions.reshape(-1, directions.shape[-1])
        result = rows @ self.tensor.reshape(self.tensor.shape[0], -1)
        for _ in range(self.order - 2):
            result = torch.einsum("md,mdk->mk", rows, result.reshape(len(rows), rows.shape[1], -1))
        return result.reshape(directions.shape)

    def squared_norm(self) -> Tensor:
        """Sum of squares."""
        return self.tensor.square().sum()
