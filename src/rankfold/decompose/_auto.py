"""The method that chooses: cheap where the problem is easy, thorough where it is not."""

from collections.abc import Iterator
from itertools import cycle

from torch import Tensor

from rankfold.decompose import _algebraic, _als, _gauss_newton, _greedy, _overparam
from rankfold.decompose._complete import CompleteData
from rankfold.decompose._data import Data
from rankfold.decompose._methods import METHODS, Method, Settings, Solve
from rankfold.decompose._scaling import random_factors

__all__ = ["schedule", "solve"]

# Choices of this library: an easy problem is one where alternating least squares settles within so many sweeps, seen
# from the rate at which it falls. Where the alternative is deflation to a large rank, waiting is cheaper.
_EASY_SWEEPS = 100
_PATIENT_SWEEPS = 200
_LOOK_EVERY = 5
_TOLERANCE = 1e-8


def solve(data: Data, rank: int, settings: Settings) -> list[Tensor]:
    """One run: alternating least squares if it settles quickly, otherwise a method that does not stall.

    Two dimensions of at least the rank call for the algebraic solution, everything else for greedy deflation (for
    non-negative factors over-parameterisation).
    """
    easy = _easy(data, rank, settings, patient=not _has_algebraic(data, rank))
    return _sure(data, rank)(data, rank, settings) if easy is None else easy


def schedule(data: Data, rank: int) -> Iterator[Solve]:
    """The starts of ``auto``: the cheap one, the algebraic one where there is one, then all others in turn."""
    yield solve
    yield _sure(data, rank) if _has_algebraic(data, rank) else solve
    yield from cycle((_greedy.solve, _gauss_newton.solve, _overparam.solve))


def _has_algebraic(data: Data, rank: int) -> bool:
    return isinstance(data, CompleteData) and _algebraic.applicable(data.shape, rank)


def _sure(data: Data, rank: int) -> Solve:
    return _algebraic_or_wide if _has_algebraic(data, rank) else _greedy.solve


def _algebraic_or_wide(data: Data, rank: int, settings: Settings) -> list[Tensor]:
    """Algebraic; over-parameterised where the factors are to be non-negative."""
    return (_overparam if settings.nonnegative else _algebraic).solve(data, rank, settings)


def _easy(data: Data, rank: int, settings: Settings, *, patient: bool) -> list[Tensor] | None:
    """The factors that alternating least squares settles on, or None as soon as it promises to take long."""
    factors = random_factors(data, rank, settings.generator, nonnegative=settings.nonnegative)
    previous, fall = float("inf"), float("inf")
    most = _PATIENT_SWEEPS if patient else _EASY_SWEEPS
    for swept in range(0, most, _LOOK_EVERY):
        before = len(settings.recorder.points)
        factors, error = _als.alternate(
            data, factors, settings, sweeps=_LOOK_EVERY, tolerance=_TOLERANCE, name="auto"
        )
        if settings.recorder.stopped or len(settings.recorder.points) - before < _LOOK_EVERY:
            return factors
        fall, earlier = previous - error, fall
        previous = error
        # The rate over two stretches says how many more it takes to fall below the tolerance.
        rate = fall / earlier
        left = (most - swept) // _LOOK_EVERY
        if not patient and rate**left * fall > _TOLERANCE:
            return None
    return None


METHODS.add(
    Method(
        name="auto",
        solve=solve,
        schedule=schedule,
        summary="Alternating least squares where it settles, else algebraic or greedy, until two runs agree.",
        source="this library",
        takes=frozenset({"masked", "sparse", "nonnegative", "symmetric"}),
    )
)
