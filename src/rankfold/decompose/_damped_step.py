"""One step of a damped Gauss-Newton method.

Axes: n_i dimensions, R components, P = R sum n_i parameters.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rankfold.decompose._data import Normal

__all__ = ["DENSE_PARAMETERS", "Step", "damped_step", "mean_diagonal"]

# Choice of this library: up to so many parameters the matrix is factorised, beyond conjugate gradients are used.
DENSE_PARAMETERS = 2000
_CG_ITERATIONS = 100
# Forcing term of an inexact Newton step; Nocedal and Wright 2006, section 7.1.
_CG_TOLERANCE = 1e-2


@dataclass(frozen=True, slots=True)
class Step:
    """A step and what the quadratic model promises of it.

    Arguments:
        change: one ``(n_i, R)`` per mode.
        predicted: fall of the objective according to the model without damping.
    """

    change: list[Tensor]
    predicted: float


def mean_diagonal(normal: Normal) -> float:
    """Mean over the modes of the mean diagonal entry, the scale of the damping."""
    means = [block.diagonal(dim1=-2, dim2=-1).mean() for block in normal.blocks()]
    return float(torch.stack(means).mean())


def damped_step(
    normal: Normal,
    point: Sequence[Tensor],
    gradient: Sequence[Tensor],
    damping: float,
    ridge: float,
    *,
    nonnegative: bool = False,
) -> Step | None:
    """Solve ``(JᵀJ + (damping + ridge) I) step = -gradient``.

    Arguments:
        normal: ``JᵀJ``.
        point: the present factors.
        gradient: of the objective, ridge included.
        damping: above 0.
        ridge: curvature that the objective has of its own.
        nonnegative: move only what is free, and cut at zero: variables at zero whose gradient points outwards
            stay (Bertsekas 1982, "Projected Newton methods for optimization problems with simple constraints").

    Returns:
        The step, or None where the matrix is not positive definite to rounding.
    """
    free = None
    if nonnegative:
        free = [~((p <= 0) & (g > 0)) for p, g in zip(point, gradient, strict=True)]
        gradient = [torch.where(f, g, 0.0) for f, g in zip(free, gradient, strict=True)]
    if sum(p.numel() for p in point) <= DENSE_PARAMETERS:
        change = _factorized(normal, gradient, damping + ridge, free)
    else:
        change = _conjugate_gradients(normal, gradient, damping + ridge, free)
    if change is None:
        return None
    if nonnegative:
        change = [(p + c).clamp_min(0) - p for p, c in zip(point, change, strict=True)]
    curved = normal.product(change)
    first = _inner(gradient, change)
    second = _inner(curved, change) + ridge * _inner(change, change)
    return Step(change, -first - 0.5 * second)


def _factorized(
    normal: Normal, gradient: Sequence[Tensor], shift: float, free: list[Tensor] | None
) -> list[Tensor] | None:
    matrix = normal.matrix()
    if free is not None:
        keep = torch.cat([f.flatten() for f in free])
        matrix = torch.where(keep[:, None] & keep, matrix, 0.0)
    matrix.diagonal().add_(shift)
    root, failed = torch.linalg.cholesky_ex(matrix)
    if int(failed):
        return None
    flat = torch.cat([g.flatten() for g in gradient])
    solution = torch.cholesky_solve(-flat.unsqueeze(1), root).squeeze(1)
    parts = solution.split([g.numel() for g in gradient])
    return [part.view_as(g) for part, g in zip(parts, gradient, strict=True)]


def _conjugate_gradients(
    normal: Normal, gradient: Sequence[Tensor], shift: float, free: list[Tensor] | None
) -> list[Tensor] | None:
    """Preconditioned by the diagonal blocks; Sorber, Van Barel and De Lathauwer 2013, section 4."""
    roots = []
    for block in normal.blocks():
        shifted = block + shift * torch.eye(block.shape[-1], dtype=block.dtype, device=block.device)
        root, failed = torch.linalg.cholesky_ex(shifted)
        if bool(failed.any()):
            return None
        roots.append(root)

    def precondition(vectors: Sequence[Tensor]) -> list[Tensor]:
        solved = [
            torch.cholesky_solve(v.mT, root).mT
            if root.ndim == 2
            else torch.cholesky_solve(v.unsqueeze(-1), root).squeeze(-1)
            for v, root in zip(vectors, roots, strict=True)
        ]
        return _only(solved, free)

    solution = [torch.zeros_like(g) for g in gradient]
    residual = [-g for g in gradient]
    direction = preconditioned = precondition(residual)
    size = _inner(residual, preconditioned)
    target = _CG_TOLERANCE**2 * size
    for _ in range(_CG_ITERATIONS):
        if size <= target or size <= 0:
            break
        image = _only(normal.product(direction), free)
        image = [i + shift * d for i, d in zip(image, direction, strict=True)]
        curvature = _inner(direction, image)
        if curvature <= 0:
            break
        length = size / curvature
        solution = [s + length * d for s, d in zip(solution, direction, strict=True)]
        residual = [r - length * i for r, i in zip(residual, image, strict=True)]
        preconditioned = precondition(residual)
        size, previous = _inner(residual, preconditioned), size
        direction = [p + (size / previous) * d for p, d in zip(preconditioned, direction, strict=True)]
    return solution


def _only(vectors: list[Tensor], free: list[Tensor] | None) -> list[Tensor]:
    if free is None:
        return vectors
    return [torch.where(f, v, 0.0) for f, v in zip(free, vectors, strict=True)]


def _inner(a: Sequence[Tensor], b: Sequence[Tensor]) -> float:
    return float(torch.stack([(x * y).sum() for x, y in zip(a, b, strict=True)]).sum())
