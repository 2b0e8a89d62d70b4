"""CP of data with gaps and noise: how strongly the gaps are held, and how many components, from held-out entries."""

from math import log, prod

import torch
from torch import Tensor

from rankfold.decompose._als import alternate
from rankfold.decompose._greedy import grow
from rankfold.decompose._greedy import solve as solve_greedily
from rankfold.decompose._held_out import HoldOut, Trial, best_shrinkage, hold_out
from rankfold.decompose._masked import MaskedData
from rankfold.decompose._methods import Settings
from rankfold.decompose._result import RankStep
from rankfold.decompose._scaling import random_factors

__all__ = ["choose_rank", "choose_rank_large", "finish_large", "fit_large", "held_data", "is_large"]

# Choices of this library. The relative error of a fit without noise, and the entries that make a tensor large.
_EXACT = 1e-6
_LARGE = 2**15
# Sweeps of the last fit, and the fall of the relative error that ends it.
_FINAL_SWEEPS, _FINAL_TOLERANCE = 60, 1e-5
# Up to so few components doubling goes on after it was once in vain; the size of new ones.
_FEW, _SMALL = 4, 0.1
# On small tensors: the growth without gain that ends the search for the rank, and the weight of the gaps meanwhile.
_OVERSHOOT = 3
_SHRINKAGE = 1e-3


def is_large(data: MaskedData) -> bool:
    """Whether second-order methods would cost more than all they could gain."""
    return data.tensor.numel() > _LARGE


def fit_large(data: MaskedData, rank: int, settings: Settings) -> tuple[list[Tensor], MaskedData]:
    """Alternating least squares whose gaps are held as held-out entries ask for.

    Arguments:
        data: the tensor with its mask.
        rank: number of components.
        settings: passed to the solver.

    Returns:
        Factors, and the data with the weight that the gaps had.
    """
    parts = hold_out(data, settings.generator)
    trial: Trial | None = None
    for width in sorted({max(rank // 4, 1), max(rank // 2, 1), rank}):
        if trial is None:
            start = random_factors(data, width, settings.generator, nonnegative=settings.nonnegative)
        else:
            start = _widened(data, trial.factors, width, settings)
        trial = best_shrinkage(parts, start, settings)
    assert trial is not None
    return finish_large(data, trial, settings)


def finish_large(data: MaskedData, trial: Trial, settings: Settings) -> tuple[list[Tensor], MaskedData]:
    """Fit all observed entries, from what nine tenths of them gave."""
    held = data.shrunk(trial.shrinkage)
    factors, _ = alternate(
        held, trial.factors, settings, sweeps=_FINAL_SWEEPS, tolerance=_FINAL_TOLERANCE, name="auto"
    )
    return factors, held


def choose_rank_large(data: MaskedData, settings: Settings) -> tuple[Trial, tuple[RankStep, ...]]:
    """Double the number of components as long as the prediction gains, then look halfway to either side.

    Arguments:
        data: the tensor with its mask.
        settings: passed to the solver.

    Returns:
        The best trial and the path. Gaps are held, so that a few components too many do no harm.
    """
    parts = hold_out(data, settings.generator)
    most = prod(data.shape) // max(data.shape)
    trials: dict[int, Trial] = {}
    rank, start = 1, random_factors(data, 1, settings.generator, nonnegative=settings.nonnegative)
    while True:
        trials[rank] = best_shrinkage(parts, start, settings)
        best = min(trials, key=lambda tried: trials[tried].error)
        vain = 2 if best > _FEW else 4
        if rank >= vain * best or 2 * rank > most or settings.recorder.stopped:
            break
        start = _widened(data, trials[rank].factors, 2 * rank, settings)
        rank *= 2
    best = _fewest(parts, trials)
    for between in (best * 3 // 4, best * 3 // 2):
        if min(trials) < between <= most and between not in trials and not settings.recorder.stopped:
            below = max(tried for tried in trials if tried < between)
            trials[between] = best_shrinkage(
                parts, _widened(data, trials[below].factors, between, settings), settings
            )
    best = _fewest(parts, trials)
    return trials[best], _steps(parts, {tried: trials[tried].factors for tried in sorted(trials)})


def _fewest(parts: HoldOut, trials: dict[int, Trial]) -> int:
    """The fewest components that predict no worse than the best trial, but for accidents."""
    best = min(trials.values(), key=lambda trial: trial.error)
    return min(rank for rank, trial in trials.items() if parts.evidence(trial.factors, best.factors) <= 1)


def held_data(data: MaskedData, factors: list[Tensor], settings: Settings) -> MaskedData:
    """Small data with the weight of the gaps that predicts best.

    Arguments:
        data: the tensor with its mask.
        factors: a fit of all observed entries; where it is exact the data stay as they are.
        settings: passed to the solvers.

    Returns:
        The data to go on with.
    """
    if data.error(factors) <= _EXACT:
        return data
    parts = hold_out(data, settings.generator)
    parts = HoldOut(parts.train.shrunk(data.shrinkage), parts.test)
    trained = solve_greedily(parts.train, factors[0].shape[1], settings)
    trial = best_shrinkage(parts, trained, settings)
    return data if parts.error(trained) <= trial.error else data.shrunk(trial.shrinkage)


def _widened(data: MaskedData, factors: list[Tensor], rank: int, settings: Settings) -> list[Tensor]:
    """More components: random ones, small beside those that are there."""
    more = random_factors(
        data, rank - factors[0].shape[1], settings.generator, nonnegative=settings.nonnegative
    )
    return [torch.cat([old, _SMALL * new], dim=1) for old, new in zip(factors, more, strict=True)]


def _steps(parts: HoldOut, found: dict[int, list[Tensor]]) -> tuple[RankStep, ...]:
    """The path; ``evidence`` says how surely a rank predicts better than the best smaller one."""
    shape, count = parts.train.shape, parts.train.count
    degrees = sum(shape) - len(shape) + 1
    steps: list[RankStep] = []
    best: list[Tensor] | None = None
    for rank, factors in found.items():
        residual = parts.train.error(factors)
        bic = count * log(max(residual**2, 1e-300)) + rank * degrees * log(count)
        steps.append(RankStep(rank, residual, bic, parts.evidence(best, factors)))
        if best is None or parts.error(factors) < parts.error(best):
            best = factors
    return tuple(steps)


def choose_rank(data: MaskedData, settings: Settings) -> tuple[int, list[Tensor], tuple[RankStep, ...]]:
    """Add components as long as they predict entries that no fit has seen.

    Arguments:
        data: the tensor with its mask.
        settings: passed to the solvers.

    Returns:
        The rank, factors fitted without the entries held out, and the path.
    """
    parts = hold_out(data, settings.generator)
    train = parts.train.shrunk(_SHRINKAGE)
    found: dict[int, list[Tensor]] = {}
    factors: list[Tensor] = []
    best = 1
    for rank in range(1, prod(data.shape) // max(data.shape) + 1):
        factors = found[rank] = grow(train, factors, settings, name="rank")
        if parts.evidence(found.get(best), factors) > 1 and rank > 1:
            best = rank
        if rank - best >= _OVERSHOOT or settings.recorder.stopped:
            break
    return best, found[best], _steps(parts, found)
