"""How many components: grow until what comes is noise, then drop one by one, and see what each was worth.

Axes: n_i dimensions, d order, N entries, k components.
"""

from dataclasses import dataclass
from itertools import pairwise
from math import log

from torch import Tensor

from rankfold.decompose._data import Data
from rankfold.decompose._eliminate import elimination_path
from rankfold.decompose._greedy import grow
from rankfold.decompose._joint import improve
from rankfold.decompose._methods import Settings
from rankfold.decompose._result import RankStep

__all__ = ["RankPath", "chosen_rank", "noise_gain", "rank_path", "rank_steps"]

# Components that are tried beyond the last one that counts, so that two which only pay together are not missed.
# Choice of this library.
_OVERSHOOT = 3
_STEPS = 30
# Margin above the expected norm of noise: fluctuations of that norm are below 1 (Gaussian concentration), so half
# of that in the bound of Gordon and Slepian, itself a few per cent too large, is far out in the tail.
_MARGIN = 0.5
# Where what is left is not white, later components still gain more than noise can; then only those count that gain
# far more than the ones after them. Choices of this library.
_WHITE = 1.5
_STRUCTURED = 3.0
# Squared relative error below which a fit is exact and further components mean nothing.
_EXACT = 1e-20


@dataclass(frozen=True, slots=True)
class RankPath:
    """Fits with 1, 2, 3, ... components.

    Arguments:
        factors: the best found for each number of components.
        residuals: their squared errors relative to ``||x||²``.
    """

    factors: dict[int, list[Tensor]]
    residuals: dict[int, float]


def rank_path(
    data: Data, settings: Settings, *, most: int, lost: float = 0.0, count: int, shape: tuple[int, ...]
) -> RankPath:
    """Fit with more and more components until the last ones are noise, then go back by dropping.

    Arguments:
        data: what to fit, perhaps compressed.
        settings: passed to the solvers.
        most: largest number of components.
        lost: squared relative error that compression already made.
        count: observed entries of the tensor itself.
        shape: its shape.

    Returns:
        The fits, from 1 component to the number where growing ended.
    """
    path = RankPath({}, {})

    def keep(factors: list[Tensor]) -> None:
        rank = factors[0].shape[1]
        residual = 2 * data.loss(factors) / data.norm**2 * (1 - lost) + lost
        if residual < path.residuals.get(rank, float("inf")):
            path.factors[rank], path.residuals[rank] = factors, residual

    factors: list[Tensor] = []
    for rank in range(1, most + 1):
        factors = grow(data, factors, settings, name="rank")
        keep(factors)
        exact = path.residuals[rank] <= _EXACT
        if exact or settings.recorder.stopped or rank - chosen_rank(path, count, shape) >= _OVERSHOOT:
            break
    factors = improve(data, factors, settings, steps=_STEPS, name="rank")
    keep(factors)
    for smaller in elimination_path(data, factors, 1, settings, name="rank"):
        keep(smaller)
    return path


def chosen_rank(path: RankPath, count: int, shape: tuple[int, ...]) -> int:
    """The largest number of components whose last one gains more than noise would."""
    return max((step.rank for step in rank_steps(path, count, shape) if step.evidence > 1), default=1)


def rank_steps(path: RankPath, count: int, shape: tuple[int, ...]) -> tuple[RankStep, ...]:
    """The path as the user sees it.

    Arguments:
        path: the fits.
        count: observed entries N.
        shape: dimensions of the tensor.

    Returns:
        One :class:`RankStep` per number of components. Its ``evidence`` is what the last component gains, in
        ``N ln RSS``, by what it would gain if it fitted noise: :func:`noise_gain` where the components after it say
        that the noise is white, otherwise three times the largest gain after it.
    """
    floor = max(_EXACT, 1e-300)
    ranks = sorted(path.residuals)
    values = [count * log(max(path.residuals[rank], floor)) for rank in ranks]
    # A larger model is never worse; where the search missed that, the smaller one padded by zero serves.
    for index in range(1, len(values)):
        values[index] = min(values[index], values[index - 1])
    gains = [-values[0], *(before - after for before, after in pairwise(values))]
    white = noise_gain(shape)
    degrees = sum(shape) - len(shape) + 1
    steps = []
    for index, rank in enumerate(ranks):
        later = max(gains[index + 1 :], default=0.0)
        threshold = max(white, _STRUCTURED * later if later > _WHITE * white else 0.0)
        bic = values[index] - count * log(count) + rank * degrees * log(count)
        steps.append(RankStep(rank, path.residuals[rank] ** 0.5, bic, gains[index] / threshold))
    return tuple(steps)


def noise_gain(shape: tuple[int, ...]) -> float:
    """What one more component gains on white noise: its squared spectral norm by its variance, with a margin.

    Arguments:
        shape: dimensions of the tensor.

    Returns:
        ``(sum sqrt(n_i) + 1/2)²``.

    Reference:
        Tomioka and Suzuki 2014, "Spectral norm of random tensors", from the comparison of Slepian and Gordon.
    """
    return (sum(size**0.5 for size in shape) + _MARGIN) ** 2
