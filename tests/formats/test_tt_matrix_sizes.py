from math import prod

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rankfold import OptionError, TTMatrix
from rankfold.formats import core_shapes, full_bonds, plan_modes


@pytest.mark.parametrize(
    ("n", "published"),  # the factors that MPOBERT was built with, in its own order
    [(768, [4, 4, 4, 4, 3]), (3072, [4, 4, 8, 6, 4]), (1024, [4] * 5), (4096, [4, 4, 8, 8, 4])],
)
def test_factors_are_those_of_the_paper(n: int, published: list[int]) -> None:
    assert sorted(plan_modes(n, 5)) == sorted(published)


def all_factorisations(n: int, cores: int) -> list[tuple[int, ...]]:
    if cores == 1:
        return [(n,)]
    return [
        (first, *rest)
        for first in range(1, n + 1)
        if n % first == 0
        for rest in all_factorisations(n // first, cores - 1)
    ]


@given(n=st.integers(1, 120), cores=st.integers(1, 4))
def test_least_sum_then_least_largest(n: int, cores: int) -> None:
    factors = plan_modes(n, cores)
    assert len(factors) == cores
    assert list(factors) == sorted(factors, reverse=True)
    assert prod(factors) == n
    found = min((sum(f), max(f)) for f in all_factorisations(n, cores))
    assert (sum(factors), max(factors)) == found


@pytest.mark.parametrize(("n", "cores"), [(0, 2), (-4, 2), (4, 0), (4.0, 2), (True, 2), (4, "2"), (None, 2)])
def test_numbers_that_are_refused(n: object, cores: object) -> None:
    with pytest.raises(OptionError, match="must be a whole number from 1"):
        plan_modes(n, cores)


def test_large_numbers() -> None:
    assert plan_modes(2**40, 8) == (32,) * 8
    assert plan_modes(1_000_003, 3) == (1_000_003, 1, 1)


def test_parameters_of_full_bonds() -> None:
    """The table of the design document: 768 x 768 in five cores, and 1024 x 1024."""
    sizes = (4, 4, 4, 4, 3)
    counts = [prod(shape) for shape in core_shapes(sizes, sizes, full_bonds(sizes, sizes))]
    assert counts == [256, 65_536, 589_824, 20_736, 81]
    assert round(sum(counts) / 768**2, 3) == 1.147
    assert round(max(counts) / sum(counts), 2) == 0.87
    even = (4,) * 5
    counts = [prod(shape) for shape in core_shapes(even, even, full_bonds(even, even))]
    assert (sum(counts) - max(counts), max(counts)) == (131_584, 1024**2)


def test_full_bonds_are_those_of_a_random_matrix() -> None:
    for out, inner in (((2, 3, 2), (3, 1, 2)), ((4, 2), (2, 5)), ((2, 2, 2, 2), (3, 2, 2, 1))):
        matrix = torch.randn(prod(out), prod(inner), dtype=torch.float64)
        value = TTMatrix.from_dense(matrix, out, inner, tolerance=1e-13)
        assert value.ranks == full_bonds(out, inner)
        shapes = core_shapes(out, inner, value.ranks)
        assert [tuple(core.shape) for core in value.cores] == shapes
        assert value.num_parameters == sum(map(prod, shapes))
