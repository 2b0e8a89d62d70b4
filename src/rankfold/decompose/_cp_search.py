"""The search of ``rankfold.cp``: in which coordinates, from how many starts, on which weights."""

from dataclasses import dataclass, replace
from itertools import repeat

from torch import Tensor

from rankfold.decompose._als import alternate
from rankfold.decompose._complete import CompleteData
from rankfold.decompose._compressed import Compressible, compress
from rankfold.decompose._data import Data
from rankfold.decompose._diagnostics import core_consistency
from rankfold.decompose._gaps import choose_rank_large, finish_large, fit_large, held_data, is_large
from rankfold.decompose._joint import improve
from rankfold.decompose._masked import MaskedData
from rankfold.decompose._methods import Method, Settings
from rankfold.decompose._rank_search import search_rank
from rankfold.decompose._result import Agreement, RankStep
from rankfold.decompose._runs import Run, agree, agreeing_runs, as_run
from rankfold.decompose._symmetric import check_symmetric
from rankfold.decompose._symmetric_runs import made_symmetric, symmetric_runs

__all__ = ["Found", "exact_error", "search"]

# Choices of this library: runs of ``auto`` at most, and the relative error at which a fit leaves nothing to find.
_RUNS = 10
_EXACT = 1e-8
# What compression lost is a difference of norms, known to the root of eps.
_LOST = 1e-7
# Sweeps over the tensor itself after a search in compressed coordinates, and the share of the error that the last of
# them gains at least.
_FINAL_SWEEPS, _FINAL_GAIN = 50, 1e-5
# Steps on data with gaps once their weight is known.
_HELD_STEPS = 60


@dataclass(frozen=True, slots=True)
class Found:
    """Factors of the data, and what is known about them."""

    factors: list[Tensor]
    agreement: Agreement
    core_consistency: float | None
    rank_path: tuple[RankStep, ...]


def search(data: Data, rank: int | None, settings: Settings, method: Method, restarts: int | None) -> Found:
    """Factors of the data, in compressed coordinates where that pays."""
    if isinstance(data, MaskedData) and method.schedule and is_large(data) and not settings.symmetric:
        return _found_large(data, rank, settings, restarts or 1)
    runs = restarts or (_RUNS if method.schedule else 1)
    plain = settings.nonnegative or settings.symmetric or settings.init is not None or method.name == "als"
    plain = plain or settings.loss != "squared"  # projected counts would turn negative
    squeeze = isinstance(data, Compressible) and not plain
    steps: tuple[RankStep, ...] = ()
    known: list[Run] = []
    start: list[Tensor] | None = None
    if settings.symmetric:
        check_symmetric("cp", data)
    if rank is None:
        rank, start, steps = search_rank(data, replace(settings, symmetric=False), squeeze=squeeze)
        start = made_symmetric(data, start, settings) if settings.symmetric else start
    squeezed = None
    if squeeze and isinstance(data, Compressible):
        squeezed = compress(data, [rank] * len(data.shape))
    work: Data = data if squeezed is None else squeezed.data
    settings.recorder.lost = 0.0 if squeezed is None else squeezed.lost
    if start is not None:
        known = [as_run(work, start if squeezed is None else squeezed.project(start))]
    if isinstance(work, MaskedData) and method.schedule and not settings.symmetric:
        first = method.solve(work, rank, settings) if start is None else start
        work = held_data(work, first, settings)
        known = [as_run(work, improve(work, first, settings, steps=_HELD_STEPS, name=method.name))]
    starts = method.schedule(work, rank, settings) if method.schedule else repeat(method.solve)
    if settings.symmetric and "symmetric" not in method.takes:
        starts = symmetric_runs(starts)
    # Where the projection lost something an exact fit of the core proves nothing.
    exact = exact_error(data, rank, settings)
    exact = exact if squeezed is None or squeezed.lost <= max(exact, _LOST) else 0.0
    best, agreement = agreeing_runs(work, rank, settings, starts, most=runs, exact=exact, known=known)
    consistency = core_consistency(work.tensor, best.factors) if isinstance(work, CompleteData) else None
    if squeezed is None:
        return Found(best.factors, agreement, consistency, steps)
    settings.recorder.lost = 0.0
    factors = squeezed.expand(best.factors, dtype=data.dtype, device=data.device)
    if best.relative_error > exact:
        gain = _FINAL_GAIN * max(best.relative_error, squeezed.lost)
        factors, _ = alternate(
            data, factors, settings, sweeps=_FINAL_SWEEPS, tolerance=gain, name=method.name
        )
    return Found(factors, agreement, consistency, steps)


def exact_error(data: Data, rank: int, settings: Settings) -> float:
    """Relative error from which on a fit is exact; 0 where there are too few entries for that to mean anything."""
    parameters = rank * (sum(data.shape) - len(data.shape) + 1)
    return (
        max(_EXACT, settings.rounding) if data.count > parameters or not isinstance(data, MaskedData) else 0.0
    )


def _found_large(data: MaskedData, rank: int | None, settings: Settings, runs: int) -> Found:
    """Large data with gaps: as many fits as asked for, because one takes as long as all other work together."""
    steps: tuple[RankStep, ...] = ()
    fits = []
    if rank is None:
        trial, steps = choose_rank_large(data, settings)
        rank = trial.factors[0].shape[1]
        fits.append(finish_large(data, trial, settings)[0])
    while len(fits) < runs and not (fits and settings.recorder.stopped):
        fits.append(fit_large(data, rank, settings)[0])
    best, agreement = agree(
        [Run(factors, data.error(factors)) for factors in fits], exact=exact_error(data, rank, settings)
    )
    return Found(best.factors, agreement, None, steps)
