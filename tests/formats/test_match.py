from itertools import permutations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rankfold import CP, ShapeError
from rankfold.formats import factor_match_score
from rankfold.formats._assignment import best_assignment


def random_cp(shape: tuple[int, ...], rank: int) -> CP:
    weights, *factors = (torch.randn(n, rank, dtype=torch.float64) for n in (1, *shape))
    return CP(weights[0], tuple(factors))


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 999), st.booleans())
def test_assignment_is_the_best(rows: int, columns: int, seed: int, whole: bool) -> None:
    torch.manual_seed(seed)
    gains = torch.randint(-3, 4, (rows, columns)).double() if whole else torch.randn(rows, columns).double()
    pairs = best_assignment(gains.tolist())
    assert len(pairs) == min(rows, columns)
    assert len({row for row, _ in pairs}) == len({column for _, column in pairs}) == len(pairs)
    wide = gains if rows <= columns else gains.T
    best = max(
        sum(float(wide[row, column]) for row, column in enumerate(chosen))
        for chosen in permutations(range(wide.shape[1]), wide.shape[0])
    )
    assert abs(sum(float(gains[row, column]) for row, column in pairs) - best) < 1e-12


def test_assignments_that_turn_long_paths_around() -> None:
    everything = torch.tensor(list(permutations(range(7))))
    for seed in range(60):
        gains = torch.rand(7, 7, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        # Rows that want the same columns push each other on.
        gains = gains + 2 * torch.arange(7) * torch.rand(7, 1, dtype=torch.float64)
        pairs = best_assignment(gains.tolist())
        best = gains[torch.arange(7), everything].sum(1).amax()
        assert abs(sum(float(gains[row, column]) for row, column in pairs) - float(best)) < 1e-12


def test_hundreds_of_components() -> None:
    order = torch.randperm(200)
    noise = torch.rand(200, 200, dtype=torch.float64)
    gains = 0.9 * noise
    gains[torch.arange(200), order] = 1.0
    assert best_assignment(gains.tolist()) == list(enumerate(order.tolist()))
    pairs = best_assignment(noise.tolist())
    # The sum of the best assignment of uniform numbers misses n by pi^2 / 6 on average (Aldous 2001).
    assert 1.0 < 200 - sum(float(noise[row, column]) for row, column in pairs) < 2.5


@pytest.mark.parametrize("exponent", [-150, 0, 150])
def test_order_scale_and_signs_do_not_matter(exponent: int) -> None:
    value, order = random_cp((4, 5, 6), 4), torch.randperm(4)
    factors = [factor[:, order] * torch.randn(4).double() for factor in value.factors]
    other = CP(torch.randn(4).double() * 10.0**exponent, tuple(factors))
    assert factor_match_score(value, other) == pytest.approx(1.0, abs=1e-14)
    assert factor_match_score(value, random_cp((4, 5, 6), 4)) < 0.5


def test_score_is_the_mean_of_products_of_cosines() -> None:
    one, half = torch.eye(2, 1), torch.tensor([[1.0], [3.0**0.5]])
    a = CP(torch.ones(1), (one, one, one))
    assert factor_match_score(a, CP(torch.ones(1), (one, half, -half))) == pytest.approx(0.25)


def test_other_numbers_of_components() -> None:
    both = CP(torch.ones(2), (torch.eye(3, 2), torch.eye(4, 2)))
    first = CP(torch.ones(1), (torch.eye(3, 1), torch.eye(4, 1)))
    zero = CP(torch.tensor([1.0, 0.0]), both.factors)
    none = CP(torch.ones(0), (torch.ones(3, 0), torch.ones(4, 0)))
    assert factor_match_score(first, both) == 1.0
    assert factor_match_score(both, first) == 0.5
    assert factor_match_score(both, zero) == 0.5
    assert factor_match_score(none, both) == factor_match_score(both, none) == 0.0


def test_other_shapes() -> None:
    with pytest.raises(ShapeError, match="one shape"):
        factor_match_score(random_cp((3, 4), 2), random_cp((4, 3), 2))
