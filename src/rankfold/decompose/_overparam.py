"""More components than needed, then fewer."""

from math import ceil

from torch import Tensor

from rankfold.decompose._data import Data
from rankfold.decompose._eliminate import eliminate
from rankfold.decompose._gauss_newton import refine
from rankfold.decompose._methods import METHODS, Method, Settings
from rankfold.decompose._scaling import random_factors

__all__ = ["solve"]

# Choice of this library; a half more serves non-negative factors.
_WIDTH = 1.3
_WIDTH_NONNEGATIVE = 1.5
# A tiny ridge takes away the freedom to grow against each other; large ones kill collinear components. Both choices
# of this library.
_RIDGE = 1e-7
_STEPS = 150


def solve(data: Data, rank: int, settings: Settings) -> list[Tensor]:
    """CP by over-parameterisation: k > R components fitted together, dropped one by one, polished.

    Reference:
        Wang, Wu, Lee, Ma and Ge 2020, "Beyond lazy training for over-parameterized tensor decomposition"; dropping
        by Hassibi and Stork 1993.
    """
    width = _WIDTH_NONNEGATIVE if settings.nonnegative else _WIDTH
    wide = max(ceil(width * rank), rank + 1)
    factors = random_factors(data, wide, settings.generator, nonnegative=settings.nonnegative)
    ridge = _RIDGE * data.norm ** (2 - 2 / len(data.shape))
    factors = refine(data, factors, settings, iterations=_STEPS, ridge=ridge, name="overparam")
    factors = eliminate(data, factors, rank, settings)
    return refine(
        data,
        factors,
        settings,
        iterations=settings.max_iterations,
        tolerance=settings.tolerance,
        name="overparam",
    )


METHODS.add(
    Method(
        name="overparam",
        solve=solve,
        summary="More components than needed, dropped by the loss they are worth, then polished.",
        source="Wang, Wu, Lee, Ma and Ge 2020; Hassibi and Stork 1993",
        takes=frozenset({"masked", "sparse", "nonnegative", "sharded"}),
    )
)
