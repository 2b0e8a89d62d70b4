"""Higher-order orthogonal iteration: the best bases of each mode, given those of the others.

Axes: n_i dimensions, r_i ranks.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from rankfold.decompose._recorder import Recorder
from rankfold.decompose._tucker_bases import leading_basis
from rankfold.linalg import mode_project, spectrum_dtype

__all__ = ["Update", "hooi", "squared_norm", "update_dense"]

# From the present bases and two halves of the modes: improve the bases of the first half, one after another, in place;
# the core that results.
Update = Callable[[list[Tensor], Sequence[int], Sequence[int]], Tensor]

# Choice of this library: a sweep that lowers the squared error by less than this share of it is the last.
_STALLED = 1e-5
# Differences of squared norms below this share of the norm are rounding.
_ROUNDING = {torch.float64: 1e-14, torch.float32: 1e-10}


def squared_norm(tensor: Tensor) -> float:
    """Sum of squares in float64; infinite where it overflows."""
    norm = float(torch.linalg.vector_norm(tensor, dtype=spectrum_dtype(tensor)))
    return norm * norm


def hooi(
    update: Update,
    core: Tensor,
    bases: list[Tensor],
    order: Sequence[int],
    recorder: Recorder,
    max_iterations: int,
    total: float,
    dtype: torch.dtype,
) -> Tensor:
    """Improve bases in place until a sweep lowers the squared error by less than 1e-5 of it; the new core.

    The modes are updated in two halves; the last mode of ``order`` must be optimal given the others, as it is after a
    sequentially truncated HOSVD. The first half alone then shows whether there is anything to gain.

    Arguments:
        update: how the bases of half of the modes follow from those of the other half.
        core: the tensor in the present bases.
        bases: one (n_i, r_i) per mode with orthonormal columns.
        order: the modes; the first half of them is updated first.
        recorder: takes one point per sweep.
        max_iterations: largest number of sweeps.
        total: squared norm of the tensor.
        dtype: of the tensor.

    Reference:
        De Lathauwer, De Moor and Vandewalle 2000, "On the best rank-1 and rank-(R1, ..., RN) approximation of
        higher-order tensors", algorithm 4.2.
    """
    middle = (len(order) + 1) // 2
    halves = (order[:middle], order[middle:])
    kept, largest = squared_norm(core), max(core.shape)
    for _ in range(max_iterations):
        before = kept
        for half, rest in (halves, halves[::-1]):
            core = update(bases, half, rest)
            gained, kept = squared_norm(core) - kept, squared_norm(core)
            if _is_little(gained, kept, total, dtype):
                break
        error = (max(total - kept, 0.0) / total) ** 0.5
        if recorder.note("hooi", error, largest) or _is_little(kept - before, kept, total, dtype):
            break
    return core


def _is_little(gained: float, kept: float, total: float, dtype: torch.dtype) -> bool:
    return gained <= _STALLED * max(total - kept, 0.0) + _ROUNDING[dtype] * total


def update_dense(tensor: Tensor, bases: list[Tensor], half: Sequence[int], rest: Sequence[int]) -> Tensor:
    """:data:`Update` of a tensor in memory, with one product of all of it with the bases of the rest."""
    work = tensor
    for mode in _by_reduction(rest, bases):
        work = mode_project(work, bases[mode].mT, mode)
    core = work
    for mode in half:
        part = work
        for other in _by_reduction([other for other in half if other != mode], bases):
            part = mode_project(part, bases[other].mT, other)
        if bases[mode].shape[0] > bases[mode].shape[1]:
            bases[mode] = leading_basis(part, mode, bases[mode].shape[1])
        core = mode_project(part, bases[mode].mT, mode)
    return core


def _by_reduction(modes: Sequence[int], bases: Sequence[Tensor]) -> list[int]:
    return sorted(modes, key=lambda mode: bases[mode].shape[1] / bases[mode].shape[0])
