"""Damped Gauss-Newton (Levenberg-Marquardt) on all factors at once."""

from collections.abc import Sequence

from torch import Tensor

from rankfold.decompose._damped_step import damped_step, mean_diagonal
from rankfold.decompose._data import Data, Normal
from rankfold.decompose._methods import METHODS, Method, Settings
from rankfold.decompose._scaling import balance, random_factors

__all__ = ["EXACT", "refine", "solve"]

# Relative error at which a float64 fit counts as exact: what is left is the rounding of the residual.
EXACT = 1e-13

_ITERATIONS = 500
# Relative fall of the objective in one step below which no later step is worth waiting for; choice of this library.
_TOLERANCE = 1e-9
# Start of the damping relative to the mean diagonal, and its rules: Madsen, Nielsen and Tingleff 2004, "Methods for
# non-linear least squares problems", section 3.2.
_DAMPING = 1e-2
# Choice of this library: steps between two spreads of the norms over the modes.
_BALANCE_EVERY = 5


def solve(data: Data, rank: int, settings: Settings) -> list[Tensor]:
    """CP by balanced Levenberg-Marquardt from a random start.

    A few sweeps of alternating least squares first would look thrifty, but they lead into the swamps.
    """
    if settings.init is not None:
        factors = list(settings.init)
    else:
        factors = random_factors(data, rank, settings.generator, nonnegative=settings.nonnegative)
    return refine(data, factors, settings, iterations=settings.max_iterations, tolerance=settings.tolerance)


def refine(
    data: Data,
    factors: Sequence[Tensor],
    settings: Settings,
    *,
    iterations: int | None = None,
    ridge: float = 0.0,
    tolerance: float | None = None,
    name: str = "gauss_newton",
) -> list[Tensor]:
    """Minimise ``½ ||W * (model - x)||² + ridge/2 sum ||A_n||²`` from given factors; the objective never grows.

    Arguments:
        data: what to fit.
        factors: start; not changed.
        settings: ``nonnegative`` and ``recorder`` are read.
        iterations: largest number of steps tried; None is 500.
        ridge: weight of the squared norms of the factors.
        tolerance: stop once a step lowers the objective by less than this share of it; None is 1e-9.
        name: for the trace.

    Returns:
        Balanced factors.

    Reference:
        Phan, Tichavský and Cichocki 2013, "Low complexity damped Gauss-Newton algorithms for CANDECOMP/PARAFAC".
    """
    tolerance = _TOLERANCE if tolerance is None else tolerance
    exact = 0.5 * (EXACT * data.norm) ** 2
    point = balance(factors)
    value, loss, slope = _objective(data, point, ridge)
    normal: Normal | None = None
    damping, growth, accepted = 0.0, 2.0, 0
    for _ in range(_ITERATIONS if iterations is None else iterations):
        if loss <= exact or settings.recorder.stopped:
            break
        if normal is None:
            normal = data.normal(point)
            damping = damping or _DAMPING * mean_diagonal(normal)
        step = damped_step(normal, point, slope, damping, ridge, nonnegative=settings.nonnegative)
        trial_value = trial_loss = float("inf")
        trial, trial_slope = point, slope
        if step is not None:
            trial = [p + s for p, s in zip(point, step.change, strict=True)]
            trial_value, trial_loss, trial_slope = _objective(data, trial, ridge)
        if step is None or not trial_value < value:
            # A step that was cut at zero may promise a loss: that is no end, a shorter one gains.
            if step is not None and 0 <= step.predicted <= tolerance * value:
                break
            damping *= growth
            growth *= 2
            continue
        ratio = (value - trial_value) / step.predicted if step.predicted > 0 else 0.0
        damping *= 1 / 4 if ratio > 0.75 else max(1 / 3, 1 - (2 * ratio - 1) ** 3)
        growth, accepted = 2.0, accepted + 1
        small = value - trial_value <= tolerance * value
        point, value, loss, slope, normal = trial, trial_value, trial_loss, trial_slope, None
        if settings.recorder.note(name, (2 * loss) ** 0.5 / data.norm, point[0].shape[1]) or small:
            break
        if accepted % _BALANCE_EVERY == 0:
            point = balance(point)
            value, loss, slope = _objective(data, point, ridge)
    return balance(point)


def _objective(data: Data, factors: list[Tensor], ridge: float) -> tuple[float, float, list[Tensor]]:
    """The objective, the loss without ridge, and the gradient of the objective."""
    loss, gradients = data.gradients(factors)
    if not ridge:
        return loss, loss, gradients
    penalty = 0.5 * ridge * sum(float(factor.square().sum()) for factor in factors)
    return loss + penalty, loss, [g + ridge * f for g, f in zip(gradients, factors, strict=True)]


METHODS.add(
    Method(
        name="gauss_newton",
        solve=solve,
        summary="Balanced Levenberg-Marquardt: dense Cholesky when small, preconditioned conjugate gradients beyond.",
        source="Phan, Tichavský and Cichocki 2013; Sorber, Van Barel and De Lathauwer 2013",
        takes=frozenset({"masked", "sparse", "nonnegative", "init", "sharded"}),
    )
)
