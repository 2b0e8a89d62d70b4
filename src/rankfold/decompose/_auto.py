"""The method that chooses: cheap where the problem is easy, thorough where it is not."""

from collections.abc import Iterator
from itertools import cycle

from torch import Tensor

from rankfold.decompose import _algebraic, _als, _gauss_newton, _greedy, _overparam
from rankfold.decompose._complete import CompleteData
from rankfold.decompose._data import Data
from rankfold.decompose._masked import MaskedData
from rankfold.decompose._methods import METHODS, Method, Settings, Solve
from rankfold.decompose._scaling import random_factors

__all__ = ["schedule", "solve"]

# Choices of this library: an easy problem is one where alternating least squares settles within so many sweeps, seen
# from the rate at which it falls. Where the alternative is deflation to a large rank, waiting is cheaper.
_EASY_SWEEPS = 100
_PATIENT_SWEEPS = 200
_PATIENT_STARTS = 3
_LOOK_EVERY = 5
_TOLERANCE = 1e-8


def solve(data: Data, rank: int, settings: Settings) -> list[Tensor]:
    """One run: alternating least squares if it settles quickly, otherwise a method that does not stall.

    Two dimensions of at least the rank call for the algebraic solution, everything else for greedy deflation.
    """
    if len(data.shape) == 2 and _has_algebraic(data, rank, settings):
        return _algebraic.solve(data, rank, settings)  # a matrix has an SVD
    patient = not _has_algebraic(data, rank, settings)
    stalled = []
    for _ in range(_PATIENT_STARTS if patient else 1):
        factors, settled = _easy(data, rank, settings, patient=patient)
        if settled:
            return factors
        stalled.append(factors)
    found = _sure(data, rank, settings)
    # Whoever stops the search gets the best it has seen.
    return min([found, *stalled], key=data.loss) if settings.recorder.stopped else found


def schedule(data: Data, rank: int, settings: Settings) -> Iterator[Solve]:
    """The starts of ``auto``: the cheap one, the algebraic one where there is one, then all others in turn."""
    yield solve
    if isinstance(data, MaskedData):
        # Two deflations of data with gaps may go wrong in the same way; another method confirms better.
        yield _overparam.solve
    else:
        yield _sure if _has_algebraic(data, rank, settings) else solve
    yield from cycle((_greedy.solve, _gauss_newton.solve, _overparam.solve))


def _has_algebraic(data: Data, rank: int, settings: Settings) -> bool:
    complete = isinstance(data, CompleteData) and not settings.nonnegative
    return complete and _algebraic.applicable(data.shape, rank)


def _sure(data: Data, rank: int, settings: Settings) -> list[Tensor]:
    return (_algebraic if _has_algebraic(data, rank, settings) else _greedy).solve(data, rank, settings)


def _easy(data: Data, rank: int, settings: Settings, *, patient: bool) -> tuple[list[Tensor], bool]:
    """Factors by alternating least squares, and whether they settled; given up once that promises to be long."""
    factors = random_factors(data, rank, settings.generator, nonnegative=settings.nonnegative)
    previous, fall = float("inf"), float("inf")
    most = _PATIENT_SWEEPS if patient else _EASY_SWEEPS
    for swept in range(0, most, _LOOK_EVERY):
        before = len(settings.recorder.points)
        factors, error = _als.alternate(
            data, factors, settings, sweeps=_LOOK_EVERY, tolerance=_TOLERANCE, name="auto"
        )
        if settings.recorder.stopped or len(settings.recorder.points) - before < _LOOK_EVERY:
            return factors, True
        fall, earlier = previous - error, fall
        previous = error
        # The rate over two stretches says how many more it takes to fall below the tolerance.
        rate = fall / earlier
        left = (most - swept) // _LOOK_EVERY
        if not patient and rate**left * fall > _TOLERANCE:
            return factors, False
    return factors, False


METHODS.add(
    Method(
        name="auto",
        solve=solve,
        schedule=schedule,
        summary="Alternating least squares where it settles, else algebraic or greedy, until two runs agree.",
        source="this library",
        takes=frozenset({"masked", "sparse", "nonnegative", "sharded"}),
    )
)
