"""CP of counts: non-negative factors of largest Poisson likelihood, wide first and narrow at the end.

Axes: n_i dimensions, R components, k >= R of them at first.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from rankfold.decompose._counts import Counts, counts_of
from rankfold.decompose._data import Data
from rankfold.decompose._eliminate import drop_component, loss_increases
from rankfold.decompose._methods import Settings
from rankfold.decompose._scaling import balance, random_factors

__all__ = ["maximize_likelihood", "solve_poisson"]

NAME = "gradient_flow"

# Choices of this library: components at first for each one sought, sweeps of the wide model, sweeps after each drop,
# candidates for a drop that are tried out and the sweeps of a trial, sweeps of the polish.
_WIDTH = 2
_WIDE_SWEEPS, _DROP_SWEEPS, _POLISH_SWEEPS = 100, 20, 1000
_CANDIDATES, _TRIAL_SWEEPS = 12, 3
# The polish stops once a sweep lowers the loss by less than this share of it.
_TOLERANCE = 1e-9
_NOTE_EVERY = 20
# Against the mean of its column: below which an entry may be locked, and with what it starts again.
_LOCKED, _RESTART = 1e-6, 1e-2


def solve_poisson(data: Data, rank: int, settings: Settings) -> list[Tensor]:
    """CP of counts by over-parameterised expectation maximisation.

    More components than needed start at random, those that the likelihood misses least are dropped one by one.

    Arguments:
        data: non-negative counts, in any form, at any scale.
        rank: number of components.
        settings: ``generator``, ``recorder``, ``max_iterations`` (sweeps of the polish) and ``tolerance`` are read.

    Returns:
        Balanced non-negative factors ``(n_i, rank)``.

    Raises:
        OptionError: negative entries.

    Reference:
        Chi and Kolda 2012, "On tensors, sparsity, and nonnegative factorizations"; the start as in
        :func:`rankfold.decompose._gradient_flow.solve`.
    """
    counts = counts_of(f"cp(method={NAME!r})", data)
    factors = random_factors(data, _WIDTH * rank, settings.generator, nonnegative=True)
    factors = maximize_likelihood(data, counts, factors, settings, sweeps=_WIDE_SWEEPS)
    while factors[0].shape[1] > rank:
        factors = _narrower(counts, factors)
        factors = maximize_likelihood(data, counts, factors, settings, sweeps=_DROP_SWEEPS)
    sweeps = _POLISH_SWEEPS if settings.max_iterations is None else settings.max_iterations
    tolerance = _TOLERANCE if settings.tolerance is None else settings.tolerance
    return maximize_likelihood(data, counts, factors, settings, sweeps=sweeps, tolerance=tolerance)


def maximize_likelihood(
    data: Data,
    counts: Counts,
    factors: Sequence[Tensor],
    settings: Settings,
    *,
    sweeps: int,
    tolerance: float = 0.0,
) -> list[Tensor]:
    """Sweeps of expectation maximisation; the Poisson loss never grows.

    Arguments:
        data: for the trace.
        counts: the same as counts.
        factors: start, non-negative; not changed.
        settings: its recorder is read.
        sweeps: largest number.
        tolerance: stop once a sweep lowers the loss by less than this share of it.

    Returns:
        Balanced factors.

    Reference:
        Chi and Kolda 2012, algorithm 3 with one inner iteration; Lee and Seung 2001 for the matrix case.
    """
    current = _unlocked(counts, factors)
    loss = counts.loss(current)
    for done in range(1, sweeps + 1):
        if settings.recorder.stopped:
            break
        current = _sweep(counts, current)
        if tolerance:
            previous, loss = loss, counts.loss(current)
            if previous - loss <= tolerance * abs(loss):
                break
        if done % _NOTE_EVERY == 0:
            settings.recorder.note(NAME, (2 * data.loss(current)) ** 0.5 / data.norm, current[0].shape[1])
    return current


def _sweep(counts: Counts, factors: Sequence[Tensor]) -> list[Tensor]:
    """Each factor times what the ratio of counts and model asks of it, one after another."""
    result = list(factors)
    for mode in range(len(result)):
        total = counts.total(result, mode)
        change = counts.pull(result, mode) / total.clamp_min(torch.finfo(total.dtype).tiny)
        result[mode] = result[mode] * change
    return balance(result)


def _unlocked(counts: Counts, factors: Sequence[Tensor]) -> list[Tensor]:
    """Entries near zero that the likelihood pulls up start again: a product never gets them away from zero.

    Chi and Kolda 2012, section 5.3, "inadmissible zeros".
    """
    result = []
    for mode, factor in enumerate(factors):
        mean = factor.mean(0)
        locked = (factor < _LOCKED * mean) & (counts.pull(factors, mode) > counts.total(factors, mode))
        result.append(torch.where(locked, _RESTART * mean, factor))
    return result


def _narrower(counts: Counts, factors: list[Tensor]) -> list[Tensor]:
    """Without the component whose loss costs the likelihood least, of the few whose loss changes the model least."""
    increases = loss_increases(factors)
    candidates = increases.argsort()[:_CANDIDATES].tolist()
    trials = []
    for index in candidates:
        trial = drop_component(factors, index, nonnegative=True)
        for _ in range(_TRIAL_SWEEPS):
            trial = _sweep(counts, trial)
        trials.append((counts.loss(trial), trial))
    return min(trials, key=lambda pair: pair[0])[1]
