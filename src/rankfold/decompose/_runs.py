"""Independent runs, until two of them say the same.

Axes: n_i dimensions, R components.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rankfold.decompose._data import Data
from rankfold.decompose._diagnostics import degeneracy
from rankfold.decompose._gauss_newton import refine
from rankfold.decompose._masked import MaskedData
from rankfold.decompose._methods import Settings, Solve
from rankfold.decompose._result import Agreement
from rankfold.formats import CP, factor_match_score

__all__ = ["Run", "agree", "agreeing_runs", "as_cp", "as_run"]

# Two errors are the same if they differ by less than this share; two models are if their components match so well.
# Choices of this library.
_SAME_ERROR = 1e-4
_SAME_COMPONENTS = 0.95
# Below this relative errors differ by rounding and by where an iteration stopped.
_ROUNDING = 1e-8
# Below this a fit may become exact by a few Gauss-Newton steps.
_NEARLY_EXACT, _SHARPENING = 1e-5, 20


@dataclass(frozen=True, slots=True)
class Run:
    """What came out of one start.

    Arguments:
        factors: one ``(n_i, R)`` per mode.
        relative_error: of the data that the solver saw.
    """

    factors: list[Tensor]
    relative_error: float


def agreeing_runs(
    data: Data,
    rank: int,
    settings: Settings,
    starts: Iterator[Solve],
    *,
    most: int,
    exact: float,
    known: Sequence[Run] = (),
) -> tuple[Run, Agreement]:
    """Run solvers until two agree, one fits exactly, or the last start is used up.

    Arguments:
        data: what to fit.
        rank: number of components.
        settings: passed to the solvers.
        starts: the solvers in turn.
        most: largest number of runs, 1 or more.
        exact: relative error from which on a fit counts as exact.
        known: runs made before, which count.

    Returns:
        The best run, and how many agree with it.
    """
    runs = list(known)
    while True:
        if runs:
            best, found = agree(runs, exact=exact)
            if found.reached or len(runs) >= most or settings.recorder.stopped:
                return best, found
        runs.append(_sharpened(as_run(data, next(starts)(data, rank, settings)), data, settings, exact))


def agree(runs: Sequence[Run], *, exact: float) -> tuple[Run, Agreement]:
    """The best run, and how many agree with it.

    Arguments:
        runs: one or more.
        exact: relative error from which on a fit counts as exact.
    """
    best = min(runs, key=lambda run: run.relative_error)
    # Components that cancel each other are still on their way, wherever two runs were stopped.
    agreeing = 1 if degeneracy(best.factors).suspected else sum(_same(run, best) for run in runs)
    return best, Agreement(len(runs), agreeing, best.relative_error <= exact)


def as_run(data: Data, factors: list[Tensor]) -> Run:
    """Factors with their error."""
    if isinstance(data, MaskedData):
        return Run(factors, data.error(factors))
    return Run(factors, (2 * data.loss(factors)) ** 0.5 / data.norm)


def _sharpened(run: Run, data: Data, settings: Settings, exact: float) -> Run:
    """A run that looks as if it would become exact, brought there."""
    if not exact < run.relative_error < _NEARLY_EXACT or settings.loss != "squared" or settings.symmetric:
        return run
    return as_run(data, refine(data, run.factors, settings, iterations=_SHARPENING, name="sharpen"))


def as_cp(factors: Sequence[Tensor]) -> CP:
    """The model with unit weights."""
    return CP(torch.ones_like(factors[0][0]), tuple(factors))


def _same(run: Run, best: Run) -> bool:
    if run is best:
        return True
    if run.relative_error > best.relative_error * (1 + _SAME_ERROR) + _ROUNDING:
        return False
    return factor_match_score(as_cp(best.factors), as_cp(run.factors)) >= _SAME_COMPONENTS
