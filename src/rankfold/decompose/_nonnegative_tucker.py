"""Tucker models whose core and factors are all >= 0, by hierarchical alternating least squares.

Axes: n_i dimensions, r_i ranks. Every update is the exact minimum over one column of a factor, or a descent step over
the whole core, so the error never rises. Gaps are filled with the model before each sweep, which keeps that: the
filled error bounds the observed one from above and equals it at the present model.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from rankfold.decompose._hooi import squared_norm
from rankfold.decompose._recorder import Recorder
from rankfold.decompose._tucker_bases import leading_basis, mode_order, st_hosvd
from rankfold.formats import Tucker
from rankfold.linalg import mode_correlate, mode_project

__all__ = ["nonnegative_tucker"]

# Choices of this library: the sweep that lowers the squared error by less than this share is the last; passes over
# the columns of a factor, and steps over the core, per sweep; what replaces the zeros of the start, which columns of
# disjoint support could not leave.
_STALLED = 1e-5
_PASSES = 5
_CORE_STEPS = 10
_OFFSET = 0.01


def nonnegative_tucker(
    tensor: Tensor,
    observed: Tensor | None,
    ranks: tuple[int, ...],
    generator: torch.Generator,
    recorder: Recorder,
    max_iterations: int,
) -> tuple[Tensor, list[Tensor], float]:
    """Core, factors with unit columns and relative error over the observed entries.

    Arguments:
        tensor: zero where nothing is observed.
        observed: True where there is something; None where all is.
        ranks: no one above the product of the others.
        generator: draws the small numbers that replace the zeros of the start.
        recorder: takes one point per sweep.
        max_iterations: largest number of sweeps.

    Reference:
        Phan and Cichocki 2011, "Extended HALS algorithm for nonnegative Tucker decomposition and its applications for
        multiway analysis and classification", section 3; Gillis and Glineur 2012 for passes that share Gram matrices.
    """
    total = squared_norm(tensor)
    _, bases = st_hosvd(tensor, ranks, mode_order(tensor.shape, ranks), leading_basis)
    factors = [_positive(basis, generator) for basis in bases]
    inner = _projected(tensor, factors, range(tensor.ndim))
    core = inner.clamp_min(0)
    size = float(Tucker(core, tuple(factors)).norm()) ** 2
    core = core * (float((core * inner).sum()) / size if size > 0 else 0.0)  # the best multiple of it
    error = total
    for _ in range(max_iterations):
        before = error
        data = (
            tensor
            if observed is None
            else torch.where(observed, tensor, Tucker(core, tuple(factors)).to_dense())
        )
        core, error = _sweep(data, core, factors)
        if observed is not None:
            residual = tensor - Tucker(core, tuple(factors)).to_dense()
            error = squared_norm(torch.where(observed, residual, 0.0))
        if recorder.note("hals", (error / total) ** 0.5, max(ranks)):
            break
        if before - error <= _STALLED * error + 1e-14 * total:
            break
    return core, factors, (error / total) ** 0.5


def _sweep(data: Tensor, core: Tensor, factors: list[Tensor]) -> tuple[Tensor, float]:
    """Update every factor in place and the core; the new core and the squared error."""
    fibres, last = data, core.ndim - 1
    for mode in range(core.ndim):
        others = [other for other in range(core.ndim) if other != mode]
        fibres = _projected(
            data, factors, sorted(others, key=lambda m: factors[m].shape[1] / factors[m].shape[0])
        )
        right = mode_correlate(fibres, core, mode)
        gram = mode_correlate(_weighted(core, factors, others), core, mode)
        factor = _columns(factors[mode], right, gram)
        lengths = torch.linalg.vector_norm(factor, dim=0)
        lengths = torch.where(lengths > 0, lengths, 1.0)
        factors[mode] = factor / lengths
        core = mode_project(core, torch.diag(lengths), mode)
    inner = mode_project(fibres, factors[last].mT, last)
    core, value = _core(core, inner, factors)
    return core, max(squared_norm(data) + 2 * value, 0.0)


def _columns(factor: Tensor, right: Tensor, gram: Tensor) -> Tensor:
    """Lower ``||factor @ gram^½ - ...||²`` column by column under ``factor >= 0``."""
    factor = factor.clone()
    for _ in range(_PASSES):
        for column in range(factor.shape[1]):
            curvature = gram[column, column]
            step = (right[:, column] - factor @ gram[:, column]) / torch.where(curvature > 0, curvature, 1.0)
            factor[:, column] = (factor[:, column] + step * (curvature > 0)).clamp_min(0)
    return factor


def _core(core: Tensor, inner: Tensor, factors: Sequence[Tensor]) -> tuple[Tensor, float]:
    """Projected gradient steps with momentum, dropped where it does not help; the core and its part of the error."""
    grams = [factor.mT @ factor for factor in factors]
    bound = float(torch.stack([torch.linalg.matrix_norm(gram, 2) for gram in grams]).prod())

    def image(point: Tensor) -> Tensor:
        for mode, gram in enumerate(grams):
            point = mode_project(point, gram, mode)
        return point

    def value(point: Tensor, pushed: Tensor) -> float:
        return float((point * (0.5 * pushed - inner)).sum(dtype=torch.float64))

    pushed = image(core)
    least, previous, previous_pushed, momentum = value(core, pushed), core, pushed, 1.0
    for _ in range(_CORE_STEPS):
        following = (1 + (1 + 4 * momentum**2) ** 0.5) / 2
        weight, momentum = (momentum - 1) / following, following
        ahead = core + weight * (core - previous)
        slope = pushed + weight * (pushed - previous_pushed) - inner
        candidate = (ahead - slope / bound).clamp_min(0)
        candidate_pushed = image(candidate)
        reached = value(candidate, candidate_pushed)
        if reached > least:
            if weight == 0:
                break
            momentum, previous, previous_pushed = 1.0, core, pushed
            continue
        previous, previous_pushed, core, pushed, least = core, pushed, candidate, candidate_pushed, reached
    return core, least


def _positive(basis: Tensor, generator: torch.Generator) -> Tensor:
    """The larger of the positive and negative part of every column, small numbers for its zeros, unit length."""
    parts = torch.stack([basis.clamp_min(0), (-basis).clamp_min(0)])
    lengths = torch.linalg.vector_norm(parts, dim=1)
    chosen = torch.where(lengths[0] >= lengths[1], parts[0], parts[1])
    noise = torch.rand(basis.shape, generator=generator, dtype=basis.dtype).to(basis.device)
    chosen = chosen + _OFFSET * chosen.mean(0) * noise + torch.finfo(basis.dtype).eps * noise
    return chosen / torch.linalg.vector_norm(chosen, dim=0)


def _projected(tensor: Tensor, factors: Sequence[Tensor], modes: Sequence[int]) -> Tensor:
    for mode in modes:
        tensor = mode_project(tensor, factors[mode].mT, mode)
    return tensor


def _weighted(core: Tensor, factors: Sequence[Tensor], modes: Sequence[int]) -> Tensor:
    for mode in modes:
        core = mode_project(core, factors[mode].mT @ factors[mode], mode)
    return core
