"""Gradient descent on many small components: the general form of the 2-homogeneous flow.

Axes: n_i dimensions, m components, N modes. Component i is ``s_i nu_i² unit_1 o ... o unit_N``; its vector in every
mode has norm nu_i, so that its size is the square of one number whatever the order. In the symmetric case one matrix
of vectors serves all modes.
"""

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from rankfold.decompose._data import Data
from rankfold.decompose._methods import Settings
from rankfold.decompose._scaling import balance
from rankfold.decompose._symmetric import SymmetricData, symmetric_factors

__all__ = ["Pool", "descend", "fresh_pool", "pool_of"]

NAME = "gradient_flow"

# Fresh components start at this share of the root of the level, and are given up below ten times that:
# Wang, Wu, Lee, Ma and Ge 2020 ask for a start of 1/poly; the numbers are choices of this library.
_SCALE = 1e-3
_GIVEN_UP = 10 * _SCALE
_STEP = 0.2
_RENEW_EVERY = 100
_LOOK_EVERY = 25
# Sweeps of the power method on fresh components: more of them and all run to the same few places.
_TURNS = 2
# The flow has settled when this much of the loss, or less, went between two looks.
_SETTLED = 0.01


@dataclass(frozen=True, slots=True, eq=False)
class Pool:
    """Components on their way.

    Arguments:
        vectors: per mode ``(n_i, m)``, or a single matrix for all modes; norms of a column equal in all of them.
        signs: ``(m,)`` in the symmetric case, otherwise None.
        order: number of modes N.
    """

    vectors: list[Tensor]
    signs: Tensor | None
    order: int

    @property
    def norms(self) -> Tensor:
        """nu, ``(m,)``; what has died counts as rounding, so that powers of it stay finite."""
        return torch.linalg.vector_norm(self.vectors[0], dim=0).clamp_min(
            torch.finfo(self.vectors[0].dtype).eps
        )

    def scaled(self) -> list[Tensor]:
        """The vectors with norms ``nu^(2/N)``, which multiply to the size of the component."""
        return [vector * self.norms ** (2 / self.order - 1) for vector in self.vectors]

    def factors(self) -> list[Tensor]:
        """One factor per mode."""
        if self.signs is None:
            return self.scaled()
        return symmetric_factors(self.scaled()[0], self.signs, self.order)

    def select(self, keep: Tensor) -> "Pool":
        """The components where ``keep``."""
        signs = None if self.signs is None else self.signs[keep]
        return Pool([vector[:, keep] for vector in self.vectors], signs, self.order)

    def joined(self, other: "Pool") -> "Pool":
        """These components and then others."""
        vectors = [torch.cat(pair, dim=1) for pair in zip(self.vectors, other.vectors, strict=True)]
        signs = None if self.signs is None or other.signs is None else torch.cat([self.signs, other.signs])
        return Pool(vectors, signs, self.order)


def pool_of(factors: list[Tensor], *, symmetric: bool) -> Pool:
    """The components of a decomposition; of a symmetric one the first factor carries the signs."""
    order = len(factors)
    signs = torch.where((factors[0] * factors[1]).sum(0) < 0, -1.0, 1.0).to(factors[0]) if symmetric else None
    balanced = [factors[1]] if symmetric else balance(factors)
    sizes = torch.linalg.vector_norm(balanced[0], dim=0)
    return Pool([factor * sizes ** (order / 2 - 1) for factor in balanced], signs, order)


def fresh_pool(data: Data, factors: list[Tensor], count: int, level: float, settings: Settings) -> Pool:
    """Components in random directions, small against the level, with random signs where those matter.

    While a component is small the flow only turns it, as the power method does. Some sweeps of that method save this
    time, which grows with the dimensions. Symmetric components turn in all modes at once, so soon that sweeps would
    only take away from their variety.
    """
    order, symmetric = len(data.shape), settings.symmetric
    vectors = []
    for size in data.shape[: 1 if symmetric else order]:
        drawn = torch.randn(size, count, generator=settings.generator, dtype=torch.float64)
        drawn = drawn.abs() if settings.nonnegative else drawn
        vectors.append(torch.nn.functional.normalize(drawn, dim=0).to(device=data.device, dtype=data.dtype))
    for _ in range(0 if symmetric else _TURNS):
        for mode in range(order):
            turned = data.contract(factors, vectors, mode)
            turned = turned.clamp_min(0) if settings.nonnegative else turned
            sizes = torch.linalg.vector_norm(turned, dim=0)
            vectors[mode] = torch.where(sizes > 0, turned / sizes.clamp_min(1e-30), vectors[mode])
    vectors = [vector * (_SCALE * level**0.5) for vector in vectors]
    if not symmetric:
        return Pool(vectors, None, order)
    signs = torch.ones(count)
    if order % 2 == 0 and not settings.nonnegative:
        signs = 2.0 * torch.randint(2, (count,), generator=settings.generator) - 1
    return Pool(vectors, signs.to(vectors[0]), order)


def descend(data: Data, pool: Pool, level: float, settings: Settings, *, steps: int) -> tuple[Pool, float]:
    """Follow the flow until it settles; the loss never grows but by the renewal of small components.

    Arguments:
        data: what to fit.
        pool: where to start.
        level: spectral norm of what is to be found, the unit of the step. Larger components take smaller steps.
        settings: ``generator``, ``recorder``, ``nonnegative`` and ``symmetric`` are read.
        steps: largest number of gradients.

    Returns:
        The components without those that stayed small, and the loss.

    Reference:
        Wang, Wu, Lee, Ma and Ge 2020, algorithm 1; Ge, Ren, Wang and Zhou 2021, algorithm 1.
    """
    small = _GIVEN_UP * level**0.5
    step = _STEP
    loss, slopes = _gradients(data, pool)
    seen = loss
    for done in range(1, steps + 1):
        trial = _moved(pool, slopes, step, level, nonnegative=settings.nonnegative)
        trial_loss, trial_slopes = _gradients(data, trial)
        if not trial_loss <= loss:
            step /= 2
            if step < 1e-6 * _STEP:
                break
            continue
        pool, loss, slopes, step = trial, trial_loss, trial_slopes, min(1.1 * step, _STEP)
        if done % _LOOK_EVERY == 0:
            if settings.recorder.note(NAME, (2 * loss) ** 0.5 / data.norm, pool.vectors[0].shape[1]):
                break
            if seen - loss <= _SETTLED * seen and bool((pool.norms > small).any()) and done > _RENEW_EVERY:
                break
            seen = loss
        if done % _RENEW_EVERY == 0 and bool((lost := pool.norms < small).any()):
            kept = pool.select(~lost)
            model = [] if bool(lost.all()) else kept.factors()
            pool = kept.joined(fresh_pool(data, model, int(lost.sum()), level, settings))
            loss, slopes = _gradients(data, pool)
    return pool.select(pool.norms >= small), loss


def _gradients(data: Data, pool: Pool) -> tuple[float, list[Tensor]]:
    """The loss and what the residual pulls at each vector when all others have norm 1."""
    point = pool.scaled()
    problem: Any = data if pool.signs is None else SymmetricData(data, pool.signs)
    loss, slopes = problem.gradients(point)
    # All modes move at once: the one symmetric matrix would else go N times as far.
    shared = pool.order / len(pool.vectors)
    scale = pool.norms ** (2 / pool.order - 2) / shared
    return loss, [slope * scale for slope in slopes]


def _moved(pool: Pool, slopes: list[Tensor], step: float, level: float, *, nonnegative: bool) -> Pool:
    norms = pool.norms
    rate = step * norms / norms.square().clamp_min(level)
    vectors = [vector - rate * slope for vector, slope in zip(pool.vectors, slopes, strict=True)]
    if nonnegative:
        vectors = [vector.clamp_min(0) for vector in vectors]
    return replace(pool, vectors=balance(vectors))
