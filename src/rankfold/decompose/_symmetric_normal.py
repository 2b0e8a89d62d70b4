"""Gauss-Newton matrices of symmetric components.

Axes: n dimensions of every mode, R components, N modes.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from rankfold.decompose._data import Normal
from rankfold.decompose._gram import GramNormal

__all__ = ["FoldedNormal", "SymmetricNormal", "symmetric_normal"]


class SymmetricNormal:
    """``JᵀJ`` of ``sum_r s_r u_r^(x)N`` on complete data, from the Gram matrix ``g = UᵀU`` alone.

    Entry ((i, r), (j, q)) is ``s_r s_q (N g_rq^(N-1) [i = j] + N (N-1) g_rq^(N-2) u_q[i] u_r[j])``.

    Arguments:
        vectors: ``(n, R)``.
        signs: ``(R,)``.
        order: N, 2 or more.
    """

    def __init__(self, vectors: Tensor, signs: Tensor, order: int) -> None:
        gram = vectors.mT @ vectors
        both = signs[:, None] * signs
        self._vectors = vectors
        self._same = order * both * gram ** (order - 1)
        self._mixed = order * (order - 1) * both * gram ** (order - 2)

    def matrix(self) -> Tensor:
        """The full matrix ``(n R, n R)``."""
        vectors, (size, rank) = self._vectors, self._vectors.shape
        left = vectors[:, None, :] * self._mixed
        result = left[:, :, None, :] * vectors.mT[None, :, :, None]
        index = torch.arange(size, device=vectors.device)
        result[index, :, index, :] += self._same
        return result.reshape(size * rank, size * rank)

    def product(self, vectors: Sequence[Tensor]) -> list[Tensor]:
        """Times one ``(n, R)``."""
        (given,) = vectors
        inner = self._vectors.mT @ given
        return [given @ self._same + self._vectors @ (self._mixed * inner).mT]

    def blocks(self) -> list[Tensor]:
        """The part that is the same for every row, ``(R, R)``."""
        return [self._same]


class FoldedNormal:
    """``JᵀJ`` of general factors, folded to the one matrix that all of them follow; for data with gaps.

    Arguments:
        normal: at ``[U s, U, ..., U]``.
        signs: s, ``(R,)``.
        order: N.
    """

    def __init__(self, normal: Normal, signs: Tensor, order: int) -> None:
        self._normal, self._signs, self._order = normal, signs, order

    def matrix(self) -> Tensor:
        """The full matrix ``(n R, n R)``."""
        full, order = self._normal.matrix(), self._order
        size = full.shape[0] // order
        signs = full.new_ones(order, size)
        signs[0] = self._signs.repeat(size // self._signs.shape[0])
        parts = full.view(order, size, order, size) * signs[:, :, None, None] * signs
        return parts.sum((0, 2))

    def product(self, vectors: Sequence[Tensor]) -> list[Tensor]:
        """Times one ``(n, R)``."""
        (given,) = vectors
        first, *others = self._normal.product([given * self._signs] + [given] * (self._order - 1))
        return [first * self._signs + sum(others)]

    def blocks(self) -> list[Tensor]:
        """The diagonal blocks of all modes added up; what couples two modes is left out."""
        first, *others = self._normal.blocks()
        return [first * self._signs[:, None] * self._signs + sum(others)]


def symmetric_normal(
    normal: Normal, vectors: Tensor, signs: Tensor, order: int
) -> SymmetricNormal | FoldedNormal:
    """The cheaper of the two: on complete data Gram matrices are enough."""
    if isinstance(normal, GramNormal):
        return SymmetricNormal(vectors, signs, order)
    return FoldedNormal(normal, signs, order)
