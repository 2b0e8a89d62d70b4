"""The rank that cp finds where none is given."""

import math

import pytest
import torch
from tests.decompose.cp_problems import dense, drawn, exact, noise, noisy, observed

from rankfold import OptionError
from rankfold.decompose import cp


@pytest.mark.parametrize(
    ("shape", "rank", "level"),
    [
        ((10, 10, 10), 3, 0.0),
        ((10, 12, 8), 4, 0.01),
        ((8, 8, 8), 1, 0.01),
        ((6, 7, 5, 4), 3, 0.01),
        ((10, 10, 10), 5, 0.1),
        ((5, 5, 5), 6, 0.0),
        ((30, 20), 2, 0.01),
    ],
    ids=str,
)
@pytest.mark.parametrize("seed", [0, 1])
def test_rank_is_found(shape: tuple[int, ...], rank: int, level: float, seed: int) -> None:
    x = exact(shape, rank, seed)
    x = noisy(x, level, seed) if level else x
    result = cp(x, generator=seed)
    assert result.rank == rank
    assert result.relative_error <= max(level, 1e-6)
    tried = [step.rank for step in result.rank_path]
    assert tried == list(range(1, len(tried) + 1))
    assert rank in tried
    assert result.rank_path[rank - 1].evidence > 1
    assert all(step.evidence < 1 for step in result.rank_path[rank:])
    errors = [step.relative_error for step in result.rank_path]
    assert all(math.isfinite(value) for value in errors)
    assert cp(x, rank, generator=seed).rank_path == ()


@pytest.mark.parametrize(
    ("shape", "rank"),
    [((15, 15), 3), ((4, 4, 4), 3), ((6, 6, 2), 3), ((50, 3, 3), 2), ((10, 10, 3), 4), ((3, 3, 3), 2)],
    ids=str,
)
def test_rank_of_small_and_thin_tensors_with_noise(shape: tuple[int, ...], rank: int) -> None:
    assert cp(noisy(exact(shape, rank, 0), 0.01, 0), generator=0).rank == rank


@pytest.mark.parametrize("shape", [(10, 10, 10), (15, 15), (6, 6, 2)], ids=str)
def test_noise_alone_has_no_components(shape: tuple[int, ...]) -> None:
    assert cp(noise(shape, 1), generator=1).rank == 1


@pytest.mark.parametrize("seed", [0, 1])
def test_single_precision(seed: int) -> None:
    x = exact((10, 12, 8), 4, seed)
    assert cp(noisy(x, 0.01, seed).float(), generator=seed).rank == 4
    assert cp(x.float(), generator=seed).rank == 4


@pytest.mark.parametrize("seed", [0, 1])
def test_rank_of_nonnegative_factors(seed: int) -> None:
    x = dense([factor.abs() for factor in drawn((10, 12, 8), 3, seed)])
    result = cp(noisy(x, 0.01, seed), nonnegative=True, generator=seed)
    assert result.rank == 3
    assert all(bool((factor >= 0).all()) for factor in result.tensor.factors)


@pytest.mark.parametrize("seed", [0, 1])
def test_rank_with_gaps(seed: int) -> None:
    shape = (12, 12, 12)
    x, mask = exact(shape, 3, seed), observed(shape, 0.5, seed)
    result = cp(noisy(x, 0.01, seed), mask=mask, generator=seed)
    assert result.rank == 3
    hidden = (result.tensor.to_dense() - x)[~mask]
    assert float(hidden.norm() / x[~mask].norm()) < 0.02
    assert [step.rank for step in result.rank_path[:3]] == [1, 2, 3]


def test_the_order_of_modes_does_not_change_the_rank() -> None:
    x = noisy(exact((14, 6, 9), 4, 2), 0.02, 2)
    ranks = {
        cp(x.permute(order).contiguous(), generator=0).rank for order in ((0, 1, 2), (1, 2, 0), (2, 1, 0))
    }
    assert ranks == {4}


def test_scale_does_not_change_the_rank() -> None:
    x = noisy(exact((10, 8, 9), 3, 2), 0.02, 2)
    assert {cp(x * number, generator=0).rank for number in (1, 1e-100, 1e100)} == {3}


def test_a_stopped_search_gives_what_it_has() -> None:
    x = noisy(exact((10, 8, 9), 4, 2), 0.02, 2)
    count = 0

    def stop(point: object) -> bool:
        nonlocal count
        count += 1
        return count >= 3

    result = cp(x, generator=0, callback=stop)
    assert 1 <= result.rank <= 4
    assert 0 < result.relative_error < 1
    assert len(result.trace) <= 6


def test_rank_of_counts_is_not_searched() -> None:
    counts = torch.poisson(torch.ones(6, 5, 4), generator=torch.Generator().manual_seed(8))
    with pytest.raises(OptionError, match="rank is not searched"):
        cp(counts, method="gradient_flow", loss="poisson", generator=0)


def test_gaps_that_leave_nothing_to_hold_out() -> None:
    # Every observed entry is the last one of some slice.
    mask = torch.eye(4, dtype=torch.bool)
    assert cp(noise((4, 4), 1), mask=mask, generator=0).rank == 1
