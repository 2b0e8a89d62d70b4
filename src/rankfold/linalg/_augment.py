"""Widen orthonormal bases by new directions.

Axes: n rows, r old columns, k offered directions, m <= min(k, n - r) columns that are new.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from rankfold._errors import ShapeError
from rankfold.linalg import _batching
from rankfold.linalg._batching import map_same_shape
from rankfold.linalg._gemm import product
from rankfold.linalg._orthonormalize import orthonormalize, polished
from rankfold.linalg._precision import matrix_dtype, spectrum_dtype

__all__ = ["augment", "new_directions"]

# What projecting out parts of this size does to orthonormal columns, one polishing step undoes to 1e-12.
_SLIGHTLY = 1e-3


def augment(
    bases: Sequence[Tensor],
    directions: Sequence[Tensor],
    *,
    max_new: Sequence[int | None] | None = None,
) -> list[Tensor]:
    """Append to each orthonormal basis what it lacks of the span of the directions, ``[U | Ũ]``.

    The old columns come back bit for bit, so augmentation never changes a function written in them.
    Directions are compared after scaling each to unit length, hence a direction 1e-8 times shorter than
    its neighbour counts as much as the neighbour; one that depends numerically on U and on the others is
    dropped. Where a cap applies, the dominant part of ``(I - UUᵀ) K`` is kept (by its singular values,
    with the directions at their true lengths), not its first columns.

    Arguments:
        bases: matrices ``(n, r)`` with orthonormal columns.
        directions: matrices ``(n, k)``, one per basis, any scaling, any rank.
        max_new: for each basis the largest number of columns to append, or None for no cap.

    Returns:
        For each basis ``(n, r + m)``; same-shaped problems are computed in one batch and the whole call
        waits for the device once.

    Raises:
        ShapeError: bases and directions do not belong together.

    Reference:
        Augmentation of the basis-update and Galerkin integrator: Ceruti, Kusch, Lubich 2022, "A rank-adaptive
        robust integrator for dynamical low-rank approximation", section 2.

    Example:
        >>> import torch
        >>> u = torch.eye(4, 1)
        >>> wider, = augment([u], [torch.ones(4, 3)])
        >>> wider.shape, torch.equal(wider[:, :1], u)
        (torch.Size([4, 2]), True)
    """
    return [
        torch.cat([basis, fresh], dim=-1)
        for basis, fresh in zip(bases, new_directions(bases, directions, max_new=max_new), strict=True)
    ]


def new_directions(
    bases: Sequence[Tensor],
    directions: Sequence[Tensor],
    *,
    max_new: Sequence[int | None] | None = None,
) -> list[Tensor]:
    """What :func:`augment` appends, alone.

    Arguments:
        bases, directions, max_new: as there.

    Returns:
        For each basis ``(n, m)``.

    Raises:
        ShapeError: bases and directions do not belong together.

    Example:
        >>> import torch
        >>> fresh, = new_directions([torch.eye(2, 1)], [torch.ones(2, 1)])
        >>> fresh.abs().round().tolist()
        [[0.0], [1.0]]
    """
    caps = [None] * len(bases) if max_new is None else list(max_new)
    if not len(bases) == len(directions) == len(caps):
        raise ShapeError(
            f"augment: got {len(bases)} bases, {len(directions)} directions and {len(caps)} caps; "
            "pass as many of each."
        )
    for index, (basis, offered) in enumerate(zip(bases, directions, strict=True)):
        if basis.ndim != 2 or offered.ndim != 2 or basis.shape[0] != offered.shape[0]:
            raise ShapeError(
                f"augment: problem {index} has a basis of shape {tuple(basis.shape)} and directions of shape "
                f"{tuple(offered.shape)}; both must be matrices with the same number of rows."
            )
    if not bases:
        return []
    found = map_same_shape(_new_directions, bases, directions)
    counts = torch.stack([count for _, _, count in found]).tolist()  # the one host sync
    fresh = []
    for basis, (candidates, residual, _), count, cap in zip(bases, found, counts, caps, strict=True):
        room = min(int(count), basis.shape[0] - basis.shape[1])
        kept = candidates[:, :room]
        fresh.append(kept if cap is None or room <= cap else _dominant(kept, residual, cap))
    return map_same_shape(_cleaned, bases, fresh)


def _new_directions(bases: Tensor, directions: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Candidates (b, n, k) in falling order of independence, the true-length residual (b, n, k), their number."""
    old = bases.to(matrix_dtype(bases))
    work = directions.to(old.dtype)
    # Dividing by the largest entry first keeps the squares of tiny columns from underflowing.
    largest = work.abs().amax(-2, keepdim=True)
    work = work / torch.where(largest > 0, largest, 1.0)
    length = torch.linalg.vector_norm(work, dim=-2, keepdim=True)
    unit = work / torch.where(length > 0, length, 1.0)
    residual = unit - product(old, product(old.mT, unit))
    basis, triangle = torch.linalg.qr(residual)
    if _clearly_independent(triangle, old):
        count = torch.full(basis.shape[:-2], basis.shape[-1], device=basis.device)
        return basis, residual * (length * largest), count
    residual = residual - product(old, product(old.mT, residual))
    basis, triangle = torch.linalg.qr(residual)
    left, values, _ = torch.linalg.svd(triangle.to(spectrum_dtype(triangle)), full_matrices=False)
    count = (values > _noise(old)).sum(-1)
    return basis @ left.to(basis.dtype), residual * (length * largest), count


def _clearly_independent(triangle: Tensor, old: Tensor) -> bool:
    """Whether every direction has a good part of its length outside U and the directions before it.

    Then one projection is enough until :func:`_cleaned` projects again, and no singular values are needed. On a GPU
    the answer would cost a host sync per batch, more than it saves.
    """
    if not _batching.serial(triangle) or triangle.shape[-2] < triangle.shape[-1] or not triangle.numel():
        return False
    # The smallest singular value lies below the smallest diagonal entry, though seldom far; 8 is a choice with room.
    return bool(triangle.diagonal(dim1=-2, dim2=-1).abs().amin() > 8 * _noise(old))


def _noise(old: Tensor) -> float:
    """Two projections leave rounding of eps sqrt(n) in a unit column; below a few times that a direction is noise."""
    return 8 * torch.finfo(old.dtype).eps * max(old.shape[-2], 1) ** 0.5


def _dominant(candidates: Tensor, residual: Tensor, cap: int) -> Tensor:
    coordinates = candidates.mT @ residual
    left, _, _ = torch.linalg.svd(coordinates.to(spectrum_dtype(coordinates)), full_matrices=False)
    return candidates @ left[:, :cap].to(candidates.dtype)


def _cleaned(bases: Tensor, fresh: Tensor) -> Tensor:
    # A kept direction may have been short before scaling, and rounding of its part in U grew with it: project once
    # more, then restore unit length.
    old = bases.to(fresh.dtype)
    inside = product(old.mT, fresh)
    clean = fresh - product(old, inside)
    if _batching.serial(fresh) and inside.numel():
        largest = float(inside.detach().abs().amax())
        # The columns are as far from orthonormal now as the square of what was projected out.
        if largest > _SLIGHTLY:
            clean = orthonormalize(clean)
        elif largest > 0.25 * torch.finfo(clean.dtype).eps ** 0.5:
            clean = polished(clean)
    else:
        clean = orthonormalize(clean)
    return clean.to(bases.dtype).contiguous()  # QR leaves columns in memory, bases have rows
