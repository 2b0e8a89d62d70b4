"""Orthogonalisation and truncation of TT cores, from one end to the other.

Axes of core k: r_{k-1}, n_k, r_k. All in float64.
"""

from collections.abc import Sequence
from math import isfinite
from typing import Literal

import torch
from torch import Tensor

from rankfold._errors import NonFiniteError
from rankfold.linalg import left_singular

__all__ = ["left_to_right", "right_to_left", "split_dense", "truncated"]

# Squares in a float64 Gram matrix resolve singular values down to sqrt(eps) = 1.5e-8 of the largest; two orders
# above that they are as good as an SVD.
_GRAM_TOLERANCE = 1e-6


def left_to_right(cores: Sequence[Tensor], end: int) -> list[Tensor]:
    """Make the cores before ``end`` left-orthogonal; their triangles move on into core ``end``."""
    result = list(cores)
    for k in range(end):
        basis, triangle = torch.linalg.qr(result[k].flatten(0, 1))
        result[k] = basis.unflatten(0, result[k].shape[:2])
        result[k + 1] = torch.tensordot(triangle, result[k + 1], 1)
    return result


def right_to_left(cores: Sequence[Tensor], end: int) -> list[Tensor]:
    """Make the cores after ``end`` right-orthogonal; their triangles move on into core ``end``."""
    result = list(cores)
    for k in range(len(cores) - 1, end, -1):
        basis, triangle = torch.linalg.qr(result[k].flatten(1).mT)
        result[k] = basis.mT.unflatten(1, result[k].shape[1:])
        result[k - 1] = torch.tensordot(result[k - 1], triangle.mT, 1)
    return result


def truncated(
    cores: Sequence[Tensor], *, tolerance: float | None, ranks: Sequence[int] | None
) -> list[Tensor]:
    """Cut right-orthogonal cores from left to right, to a relative error over all or to ranks."""
    budget = _squared(cores[0], tolerance)
    result, work = [], cores[0]
    for k, following in enumerate(cores[1:]):
        share, rank = budget / (len(cores) - 1 - k), None if ranks is None else ranks[k]
        basis, rest, lost = _cut(work.flatten(0, 1), "svd", share, rank)
        result.append(basis.unflatten(0, work.shape[:2]))
        work, budget = torch.tensordot(rest, following, 1), budget - lost
    return [*result, work]


def split_dense(tensor: Tensor, *, tolerance: float | None, ranks: Sequence[int] | None) -> list[Tensor]:
    """Left-orthogonal cores of a dense tensor, to a relative error over all or to ranks."""
    method = "gram" if tolerance is None or tolerance >= _GRAM_TOLERANCE else "svd"
    budget = _squared(tensor, tolerance)
    cores, rest = [], tensor.reshape(1, -1)
    for k, size in enumerate(tensor.shape[:-1]):
        share, rank = budget / (tensor.ndim - 1 - k), None if ranks is None else ranks[k]
        basis, rest, lost = _cut(rest.reshape(rest.shape[0] * size, -1), method, share, rank)
        cores.append(basis.unflatten(0, (-1, size)))
        budget -= lost
    return [*cores, rest.unsqueeze(2)]


def _squared(tensor: Tensor, tolerance: float | None) -> float:
    """The squared error allowed; what one cut does not use of its share passes to the later ones."""
    norm = float(torch.linalg.vector_norm(tensor))
    if not isfinite(norm):
        raise NonFiniteError("TT: the tensor holds NaN or infinity; all entries must be finite.")
    return (norm * (tolerance or 0.0)) ** 2


def _cut(
    matrix: Tensor, method: Literal["gram", "svd"], share: float, rank: int | None
) -> tuple[Tensor, Tensor, float]:
    """Leading left singular vectors U of a matrix M, ``UᵀM``, and the squared error: at most share, or by rank."""
    vectors, values = left_singular(matrix, method)
    tails = values.square().flip(-1).cumsum(-1).flip(-1)
    if rank is None:
        rank = max(int((tails > share).sum()), 1)
    basis = vectors[:, :rank]
    return basis, basis.mT @ matrix, float(tails[rank]) if rank < len(tails) else 0.0
