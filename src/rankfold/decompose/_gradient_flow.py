"""CP by gradient flow from a small start, wide first and narrow at the end.

Axes: n_i dimensions, R components, S probes.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from rankfold.decompose._data import Data
from rankfold.decompose._eliminate import drop_component, loss_increases
from rankfold.decompose._gauss_newton import refine
from rankfold.decompose._greedy import grow
from rankfold.decompose._methods import METHODS, Method, Settings
from rankfold.decompose._poisson import solve_poisson
from rankfold.decompose._small_start import descend, fresh_pool, pool_of
from rankfold.decompose._symmetric import check_symmetric, refine_symmetric, symmetric_factors, symmetrize

__all__ = ["solve"]

NAME = "gradient_flow"

# Four components for each one sought: about R ln R of them hit every component of the target (coupon collector).
_WIDTH = 4
# All further numbers are choices of this library. Bounds on the gradients of a round, and on the rounds.
_STEPS, _ROUNDS = 1500, 12
# Power iterations and probes for the level of the residual; Gauss-Newton steps after each round and at the end.
_POWER_ITERATIONS, _PROBES = 3, 5
_REFINEMENTS, _POLISH = 20, 200
# Components go while the model changes by less than this share of the level, or by less than what it misses anyway.
_COPIES = 0.1
# Rounds end when the residual's level is below this share of the data, or after so many rounds of which none lowered
# the error by a tenth.
_FITTED, _WORTHWHILE, _FRUITLESS = 1e-6, 0.9, 3


def solve(data: Data, rank: int, settings: Settings) -> list[Tensor]:
    """CP by over-parameterised gradient flow: 4 R small components, the large ones grow first.

    The growth takes a time inverse to the size of a component. So after each plateau what has grown is refined by
    Gauss-Newton steps, and the flow starts again with small components at the level of the residual. At the end
    components are dropped by the loss they are worth, down to R. Counts (``loss='poisson'``) go the same way from wide
    to narrow, by expectation maximisation.

    Reference:
        Wang, Wu, Lee, Ma and Ge 2020, "Beyond lazy training for over-parameterized tensor decomposition"; Ge, Ren,
        Wang and Zhou 2021, "Understanding deflation process in over-parametrized tensor decomposition".
    """
    if settings.loss == "poisson":
        return solve_poisson(data, rank, settings)
    if settings.symmetric:
        check_symmetric(f"cp(method={NAME!r})", data)
    steps = _STEPS if settings.max_iterations is None else settings.max_iterations
    best: list[Tensor] = []
    least, fruitless = data.norm, 0
    for _ in range(_ROUNDS):
        level = _level(data, best, settings)
        if not level > _FITTED * data.norm or fruitless == _FRUITLESS or settings.recorder.stopped:
            break
        pool = fresh_pool(data, best, _WIDTH * rank - _count(best), level, settings)
        if best:
            pool = pool_of(best, symmetric=settings.symmetric).joined(pool)
        pool, loss = descend(data, pool, level, settings, steps=steps)
        if pool.vectors[0].shape[1] == 0:
            break
        allowed = max((_COPIES * level) ** 2, _COPIES * 2 * loss)
        factors = _dropped(pool.factors(), allowed, rank, settings)
        factors = _refined(data, factors, settings, iterations=_REFINEMENTS)
        error = (2 * data.loss(factors)) ** 0.5
        fruitless = fruitless + 1 if error > _WORTHWHILE * least else 0
        if error < least:
            best, least = factors, error
    while _count(best) < rank:
        best = _grown(data, best, settings)
    return _refined(data, best, settings, iterations=_POLISH)


def _count(factors: Sequence[Tensor]) -> int:
    return factors[0].shape[1] if factors else 0


def _level(data: Data, factors: Sequence[Tensor], settings: Settings) -> float:
    """About the spectral norm of the residual, by a few steps of the higher-order power method."""
    probes, sizes = [], torch.zeros(1)
    for size in data.shape:
        drawn = torch.randn(size, _PROBES, generator=settings.generator, dtype=torch.float64)
        probes.append(torch.nn.functional.normalize(drawn, dim=0).to(device=data.device, dtype=data.dtype))
    for _ in range(_POWER_ITERATIONS):
        for mode in range(len(probes)):
            image = data.contract(factors, probes, mode)
            sizes = torch.linalg.vector_norm(image, dim=0)
            probes[mode] = image / sizes.clamp_min(torch.finfo(image.dtype).tiny)
    return float(sizes.max())


def _dropped(factors: list[Tensor], allowed: float, rank: int, settings: Settings) -> list[Tensor]:
    """Drop what costs least until ``rank`` are left, and on while all the later ones together cost little.

    Several components may have grown into one place; a component dropped in error grows again in the next round.
    """
    while _count(factors) > 1:
        increases = loss_increases(factors)
        if _count(factors) <= rank:
            allowed -= float(increases.min())
            if allowed < 0:
                break
        factors = drop_component(factors, int(increases.argmin()), nonnegative=settings.nonnegative)
    return factors


def _refined(data: Data, factors: list[Tensor], settings: Settings, *, iterations: int) -> list[Tensor]:
    if not settings.symmetric:
        return refine(data, factors, settings, iterations=iterations, tolerance=settings.tolerance, name=NAME)
    vectors, signs = symmetrize(factors)
    vectors = refine_symmetric(
        data, vectors, signs, settings, iterations=iterations, tolerance=settings.tolerance, name=NAME
    )
    return symmetric_factors(vectors, signs, len(factors))


def _grown(data: Data, factors: list[Tensor], settings: Settings) -> list[Tensor]:
    """One component more, by greedy deflation: too few were worth keeping."""
    factors = grow(data, factors, settings, name=NAME)
    return _refined(data, factors, settings, iterations=_REFINEMENTS) if settings.symmetric else factors


METHODS.add(
    Method(
        name=NAME,
        solve=solve,
        summary="Many small components by gradient flow, the largest grow first; dropped and polished at the end.",
        source="Wang, Wu, Lee, Ma and Ge 2020; Ge, Ren, Wang and Zhou 2021",
        takes=frozenset({"masked", "sparse", "nonnegative", "symmetric", "poisson", "sharded"}),
        unit_norm=True,
    )
)
