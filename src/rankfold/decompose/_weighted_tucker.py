"""Weighted least squares fit of a Tucker model: Gauss-Newton on the tangent space.

Each step is the linear least squares problem of the tangent space, where conjugate gradients need few steps because
equal weights give the identity.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from rankfold.decompose._tucker_tangent import Coordinates, Tangent

__all__ = ["weighted_tucker"]

# Choices of this library: the error below which a fit is exact; conjugate gradients stop at this share of the
# gradient or after so many steps; a step is halved so often.
_EXACT = {torch.float64: 1e-26, torch.float32: 1e-12}
_FORCING = 0.3
_INNER = 12
_HALVINGS = 12


def weighted_tucker(
    tensor: Tensor,
    weights: Tensor,
    start: Tangent,
    *,
    stalled: float,
    max_iterations: int,
    note: Callable[[Tensor], bool],
) -> tuple[Tangent, Tensor]:
    """Lower ``sum weights * (tensor - model)²`` until a step lowers it by less than a share ``stalled`` of it.

    Arguments:
        tensor: what is fitted.
        weights: of the tensor's shape, >= 0.
        start: point to start from, with its ranks.
        stalled: in (0, 1).
        max_iterations: largest number of steps.
        note: called after every step with ``tensor - model``; True ends the fit.

    Returns:
        The last point and ``tensor - model`` there; the error never rises.

    Reference:
        Heidel and Schulz 2018, "A Riemannian trust-region method for low-rank tensor completion", section 4.
    """
    space, residual = start, tensor - start.point()
    error, total = _weighted(residual, weights), _weighted(tensor, weights)
    for _ in range(max_iterations):
        step, before, length = _step(space, weights, residual), error, 1.0
        for _ in range(_HALVINGS):
            candidate = space.moved(step, length)
            left = tensor - candidate.point()
            reached = _weighted(left, weights)
            if reached < error:
                space, residual, error = candidate, left, reached
                break
            length /= 2
        if note(residual) or before - error <= stalled * before or error <= _EXACT[tensor.dtype] * total:
            break
    return space, residual


def _step(space: Tangent, weights: Tensor, residual: Tensor) -> Coordinates:
    """The Gauss-Newton step by conjugate gradients, cut short early."""
    remaining = space.coordinates(weights * residual)
    step = [torch.zeros_like(part) for part in remaining]
    direction, size = remaining, _inner(remaining, remaining)
    enough = _FORCING**2 * size
    for _ in range(_INNER):
        if size <= 0:
            break
        image = space.dense(direction)
        length = size / _weighted(image, weights)
        image = space.coordinates(weights * image)
        step = [s + length * d for s, d in zip(step, direction, strict=True)]
        remaining = [r - length * i for r, i in zip(remaining, image, strict=True)]
        before, size = size, _inner(remaining, remaining)
        if size <= enough:
            break
        direction = [r + size / before * d for r, d in zip(remaining, direction, strict=True)]
    return step


def _weighted(tensor: Tensor, weights: Tensor) -> float:
    return float((weights * tensor).flatten().dot(tensor.flatten()))


def _inner(a: Coordinates, b: Coordinates) -> float:
    return float(sum((x * y).sum() for x, y in zip(a, b, strict=True)))
