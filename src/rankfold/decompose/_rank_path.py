"""How many components: grow until what comes is noise, then drop one by one, and see what each was worth.

Axes: n_i dimensions, d order, N entries, k components, p parameters.
"""

from dataclasses import dataclass
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
# Components that are tried in any case: where all are alike the first ones gain little. Choice of this library.
_LEAST_LOOK = 8
_STEPS = 30
# Squared relative error below which a fit may become exact.
_NEARLY_EXACT = 1e-10
# Margin above the expected norm of noise: fluctuations of that norm are below 1 (Gaussian concentration), so half
# of that in the bound of Gordon and Slepian, itself a few per cent too large, is far out in the tail.
_MARGIN = 0.5
# Where what is left is not white, later components still gain more than noise can; then only those count that gain
# far more than the ones after them. Choices of this library.
_WHITE = 1.2
_STRUCTURED = 3.0


@dataclass(frozen=True, slots=True)
class RankPath:
    """Fits with 1, 2, 3, ... components.

    Arguments:
        factors: the best found for each number of components.
        residuals: their squared errors relative to ``||x||²``.
        exact: squared relative error from which on a fit is exact and further components mean nothing.
    """

    factors: dict[int, list[Tensor]]
    residuals: dict[int, float]
    exact: float = 1e-20


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
    path = RankPath({}, {}, settings.rounding**2)

    def keep(factors: list[Tensor]) -> None:
        rank = factors[0].shape[1]
        residual = 2 * data.loss(factors) / data.norm**2 * (1 - lost) + lost
        if residual < path.residuals.get(rank, float("inf")):
            path.factors[rank], path.residuals[rank] = factors, residual

    factors: list[Tensor] = []
    white = noise_gain(shape)
    for rank in range(1, most + 1):
        factors = grow(data, factors, settings, name="rank")
        keep(factors)
        if path.exact < path.residuals[rank] < _NEARLY_EXACT:
            # Another component must not do what a few more steps would.
            factors = improve(data, factors, settings, steps=_STEPS, name="rank")
            keep(factors)
        last = [gain for _, gain in _gains(path, count, shape)][-_OVERSHOOT:]
        noise = rank >= min(_LEAST_LOOK, max(shape)) and max(last) <= white
        if noise or path.residuals[rank] <= path.exact or settings.recorder.stopped:
            break
    factors = improve(data, factors, settings, steps=_STEPS, name="rank")
    keep(factors)
    for smaller in elimination_path(data, factors, 1, settings, name="rank"):
        keep(smaller)
    return path


def chosen_rank(path: RankPath, count: int, shape: tuple[int, ...]) -> int:
    """The number of components that the path speaks for.

    Arguments:
        path: the fits.
        count: observed entries N.
        shape: dimensions of the tensor.

    Returns:
        Where the path ends in white noise, the largest number whose last component counts; where it does not, the
        number after which the gains fall most.
    """
    steps = rank_steps(path, count, shape)
    last = [gain for _, gain in _gains(path, count, shape)][-_OVERSHOOT:]
    exact = path.residuals[steps[-1].rank] <= path.exact
    if exact or (len(last) == _OVERSHOOT and max(last) <= _WHITE * noise_gain(shape)):
        return max((step.rank for step in steps if step.evidence > 1), default=1)
    return max(steps, key=lambda step: step.evidence).rank


def rank_steps(path: RankPath, count: int, shape: tuple[int, ...]) -> tuple[RankStep, ...]:
    """The path as the user sees it.

    Arguments:
        path: the fits.
        count: observed entries N.
        shape: dimensions of the tensor.

    Returns:
        One :class:`RankStep` per number of components. Its ``evidence`` is what the last component gains, in
        ``(N - p) ln RSS``, by what it would gain if it fitted noise: :func:`noise_gain` where the components after
        it say that the noise is white, otherwise three times the largest gain after it.
    """
    gains = _gains(path, count, shape)
    white = noise_gain(shape)
    degrees = sum(shape) - len(shape) + 1
    steps = []
    for index, (rank, gain) in enumerate(gains):
        residual = max(path.residuals[rank], path.exact)
        # What comes last can only be judged against noise where the fit has become exact.
        alone = 0.0 if path.residuals[rank] <= path.exact else gain
        later = max((after for _, after in gains[index + 1 :]), default=alone)
        threshold = max(white, _STRUCTURED * later if later > _WHITE * white else 0.0)
        bic = count * log(residual / count) + rank * degrees * log(count)
        steps.append(RankStep(rank, path.residuals[rank] ** 0.5, bic, gain / threshold))
    return tuple(steps)


def _gains(path: RankPath, count: int, shape: tuple[int, ...]) -> list[tuple[int, float]]:
    """Per number of components what the last one gains: the fall of ``ln RSS`` times the degrees of freedom left.

    Noise of variance s² leaves ``RSS = s² (N - p)`` behind p parameters, so it is ``N - p`` that makes a gain of the
    fall; a model with as many parameters as entries fits anything and gains nothing.
    """
    gains, least = [], 0.0
    for rank in sorted(path.residuals):
        # A larger model is never worse; where the search missed that, the smaller one padded by zeros serves.
        value = min(log(max(path.residuals[rank], path.exact)), least)
        gains.append((rank, (least - value) * max(count - _parameters(rank, shape), 0)))
        least = value
    return gains


def _parameters(rank: int, shape: tuple[int, ...]) -> int:
    """Dimension of the set of tensors with so many components; those of a matrix can be mixed."""
    return rank * (sum(shape) - (rank if len(shape) == 2 else len(shape) - 1))


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
