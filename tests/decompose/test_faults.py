"""Faults of the decompositions: those that an attack found and that were mended, and those still open (xfail)."""

import math

import pytest
import torch
from torch import Tensor

import rankfold
from rankfold.formats import CP, factor_match_score

F64 = torch.float64


def gaussian(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


def low_rank(shape: tuple[int, ...], rank: int, seed: int) -> Tensor:
    source = torch.Generator().manual_seed(777 + seed)
    factors = tuple(torch.randn(size, rank, generator=source, dtype=F64) for size in shape)
    return CP(torch.ones(rank, dtype=F64), factors).to_dense()


def weighted(smallest: float) -> CP:
    factors = tuple(gaussian(8, 3, seed=50 + mode) for mode in range(3))
    unit = tuple(factor / factor.norm(dim=0) for factor in factors)
    return CP(torch.tensor([1, 0.5, smallest], dtype=F64), unit)


def observed(shape: tuple[int, ...], share: float, seed: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < share


@pytest.mark.parametrize(
    ("shape", "rank", "seed"), [((4, 4, 4), 6, 1), ((4, 4, 4), 6, 3), ((3, 3, 3, 3), 8, 1)]
)
def test_a_degenerate_fit_of_a_tensor_of_that_rank_is_not_confirmed(
    shape: tuple[int, ...], rank: int, seed: int
) -> None:
    found = rankfold.cp(low_rank(shape, rank, seed), rank, generator=5000 + seed)
    assert found.relative_error < 1e-5 or not found.agreement.reached


def test_the_best_component_of_the_w_state() -> None:
    state = torch.zeros(2, 2, 2, dtype=F64)
    state[0, 0, 1] = state[0, 1, 0] = state[1, 0, 0] = 1
    assert rankfold.cp(state, 1, generator=1).relative_error < math.sqrt(5 / 9) + 1e-4


def test_a_confirmed_fit_cannot_be_improved_by_alternating_least_squares() -> None:
    x = gaussian(8, 8, 8, seed=901)
    found = rankfold.cp(x, 3, generator=2)
    better = rankfold.cp(x, 3, method="als", init=found.tensor, generator=3)
    assert not found.agreement.reached or found.relative_error < better.relative_error * 1.001


def test_the_rank_of_clean_data_with_gaps() -> None:
    ranks = [
        rankfold.cp(
            low_rank((10,) * 3, 2, 20 + seed), mask=observed((10,) * 3, 0.3, 300 + seed), generator=seed
        ).rank
        for seed in range(3)
    ]
    assert ranks == [2, 2, 2]


@pytest.mark.parametrize("smallest", [9e-7, 1e-7])
def test_a_fit_without_the_weakest_component_is_not_called_exact(smallest: float) -> None:
    truth = weighted(smallest)
    found = rankfold.cp(truth.to_dense(), 3, generator=900)
    assert not found.agreement.exact or factor_match_score(truth, found.tensor) > 0.9


@pytest.mark.parametrize("smallest", [1e-6, 3e-7])
def test_the_rank_of_clean_data_with_a_weak_component(smallest: float) -> None:
    assert rankfold.cp(weighted(smallest).to_dense(), generator=900).rank == 3


@pytest.mark.parametrize("size", [4, 6])
def test_the_rank_of_equal_orthogonal_components(size: int) -> None:
    x = torch.zeros(size, size, size, dtype=F64)
    x[range(size), range(size), range(size)] = 1
    assert rankfold.cp(x, generator=900).rank == size


@pytest.mark.xfail(
    strict=True,
    raises=AssertionError,
    reason="Greedy growth misses the exact fit of rank 3 and takes a fourth component.",
)
def test_the_rank_of_a_long_thin_tensor() -> None:
    assert rankfold.cp(low_rank((2, 3, 2000), 3, 43), generator=9).rank == 3


def test_an_exact_fit_of_too_few_entries_confirms_nothing() -> None:
    seen = torch.eye(4, dtype=torch.bool)[:, :, None] & torch.eye(4, dtype=torch.bool)[:, None]
    seen[0, 1, 2] = True
    found = rankfold.cp(low_rank((4, 4, 4), 2, 5), 2, mask=seen, generator=9)
    assert not found.agreement.reached


def test_the_rank_of_data_in_half_precision() -> None:
    assert rankfold.cp(low_rank((6, 7, 8), 3, 62).half(), generator=900).rank == 3


def test_a_stopped_search_returns_the_best_so_far() -> None:
    x = gaussian(12, 12, 12, seed=4)
    kept: list[float] = []

    def stop(point: rankfold.decompose.TracePoint) -> bool:
        kept.append(point.relative_error)
        return point.method == "greedy" and point.rank > 3

    found = rankfold.cp(x, 14, generator=9, callback=stop)
    assert found.rank == 14
    assert found.relative_error < min(kept) + 1e-6


@pytest.mark.xfail(
    strict=True,
    raises=AssertionError,
    reason="Gram matrices of the core underflow, so all loadings are 0.",
)
def test_tucker_loadings_of_tiny_samples() -> None:
    pytest.importorskip("sklearn")
    from rankfold.estimators import TuckerDecomposer

    x = low_rank((6, 7, 8), 2, 3).numpy() * 1e-200
    found = TuckerDecomposer((2, 2, 2), random_state=1).fit(x)
    assert found.score(x) > 0.9
