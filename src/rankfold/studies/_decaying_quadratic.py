"""The quadratic ``1/2 ||W - A||²`` over 12 x 10 matrices of rank 4, all singular values of A one, in float64.

The start has random bases and singular values decay^-k, k = 0..3.
"""

from math import isfinite

import torch
from torch import Tensor

from rankfold.formats import Tucker
from rankfold.training.integrators import INTEGRATORS, Gradients

__all__ = ["directly_descended", "integrated", "quadratic"]

_SHAPE, _RANK = (12, 10), 4
# Of the integrators; half the inverse curvature, as a choice of this library.
_RATE = 0.5
# Learning rates of plain descent, five to a decade; the best of them is reported.
_RATES = tuple(10 ** (k / 5) for k in range(-5, 3))


def quadratic(decay: float, seed: int) -> tuple[Tensor, Tucker]:
    """The target and the start; the same bases for every decay."""
    generator = torch.Generator().manual_seed(seed)
    normal = [torch.randn(n, _RANK, generator=generator, dtype=torch.float64) for n in (*_SHAPE, *_SHAPE)]
    left, right, *bases = (torch.linalg.qr(matrix).Q for matrix in normal)
    values = decay ** -torch.arange(_RANK, dtype=torch.float64)
    return left @ right.mT, Tucker(values.diag(), tuple(bases))


def integrated(integrator: str, decay: float, seed: int, steps: int) -> float:
    """What an integrator leaves of the loss at fixed ranks, as a share of ``||A||²``."""
    target, tucker = quadratic(decay, seed)
    for _ in range(steps):
        start = _gradients(tucker, target)
        step = INTEGRATORS[integrator].advance([tucker], [start], [_RATE])[0]
        inner = step.core_gradient
        if inner is None:  # then it is taken in the new bases
            inner = _gradients(step.tucker, target).core
        tucker = Tucker(step.tucker.core - _RATE * inner, step.tucker.factors).truncate(ranks=_RANK)
    return _share_left(tucker.to_dense(), target)


def _gradients(tucker: Tucker, target: Tensor) -> Gradients:
    """Of the loss at ``U C Vᵀ``: ``Uᵀ G V``, ``G V Cᵀ`` and ``Gᵀ U C`` with ``G = W - A``."""
    left, right = tucker.factors
    assert left is not None
    assert right is not None
    dense = left @ tucker.core @ right.mT - target
    return Gradients(
        left.mT @ dense @ right, {0: dense @ right @ tucker.core.mT, 1: dense.mT @ left @ tucker.core}
    )


def _share_left(weight: Tensor, target: Tensor) -> float:
    return float((weight - target).square().sum() / target.square().sum()) / 2


def directly_descended(decay: float, seed: int, steps: int) -> tuple[float, float]:
    """What gradient descent on U, S and V leaves with its best learning rate, and that rate."""
    target, start = quadratic(decay, seed)
    left: dict[float, float] = {}
    for rate in _RATES:
        tucker = start
        for _ in range(steps):
            pull = _gradients(tucker, target)
            first, second = tucker.factors
            assert first is not None
            assert second is not None
            tucker = Tucker(
                tucker.core - rate * pull.core,
                (first - rate * pull.factors[0], second - rate * pull.factors[1]),
            )
        left[rate] = _share_left(tucker.to_dense(), target)
    return min((loss, rate) for rate, loss in left.items() if isfinite(loss))
