"""Any solver for symmetric tensors: its components made symmetric, then refined as such."""

from collections.abc import Iterator
from dataclasses import replace

from torch import Tensor

from rankfold.decompose._data import Data
from rankfold.decompose._methods import Settings, Solve
from rankfold.decompose._symmetric import refine_symmetric, symmetric_factors, symmetrize

__all__ = ["made_symmetric", "symmetric_runs"]


def symmetric_runs(starts: Iterator[Solve]) -> Iterator[Solve]:
    """Wrap solvers of general components.

    Where the components of a symmetric tensor are unique they are symmetric themselves, so that a general solver
    finds them; what noise has pulled apart is joined and fitted again.

    Arguments:
        starts: solvers one after another.

    Yields:
        Solvers whose factors are equal up to a sign in the first.
    """
    for solve in starts:

        def run(data: Data, rank: int, settings: Settings, solve: Solve = solve) -> list[Tensor]:
            return made_symmetric(data, solve(data, rank, replace(settings, symmetric=False)), settings)

        yield run


def made_symmetric(data: Data, factors: list[Tensor], settings: Settings) -> list[Tensor]:
    """Symmetric components near general ones, refined."""
    vectors, signs = symmetrize(factors)
    vectors = refine_symmetric(data, vectors, signs, settings, tolerance=settings.tolerance, name="symmetric")
    return symmetric_factors(vectors, signs, len(factors))
