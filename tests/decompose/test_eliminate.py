"""What dropping a component costs, against fitting the weights of the others again."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from tests.decompose.cp_problems import dense, drawn, exact, noisy, settings
from torch import Tensor

from rankfold.decompose._complete import CompleteData
from rankfold.decompose._eliminate import drop_component, eliminate, elimination_path, loss_increases
from rankfold.decompose._recorder import Recorder


def pieces(factors: list[Tensor]) -> Tensor:
    """Every component as a column of all entries."""
    rank = factors[0].shape[1]
    return torch.stack([dense([f[:, r : r + 1] for f in factors]).flatten() for r in range(rank)], dim=1)


def refitted(factors: list[Tensor], index: int) -> tuple[Tensor, Tensor]:
    """The model closest to the whole one with the weights of all components but one, and what it misses."""
    columns = pieces(factors)
    keep = [r for r in range(columns.shape[1]) if r != index]
    whole = columns.sum(1)
    weights = torch.linalg.lstsq(columns[:, keep], whole.unsqueeze(1)).solution.squeeze(1)
    return columns[:, keep] @ weights, weights


@given(
    shape=st.lists(st.integers(2, 5), min_size=3, max_size=4).map(tuple),
    rank=st.integers(2, 4),
    seed=st.integers(0, 99),
)
def test_cost_of_dropping(shape: tuple[int, ...], rank: int, seed: int) -> None:
    factors = drawn(shape, rank, seed)
    whole = dense(factors).flatten()
    increases = loss_increases(factors)
    assert increases.shape == (rank,)
    for index in range(rank):
        closest, _ = refitted(factors, index)
        expected = float((whole - closest).square().sum())
        assert float(increases[index]) == pytest.approx(
            expected, rel=1e-6, abs=1e-9 * float(whole.square().sum())
        )
        smaller = drop_component(factors, index)
        assert smaller[0].shape == (shape[0], rank - 1)
        found = dense(smaller).flatten()
        assert float((found - closest).norm()) <= 1e-6 * float(whole.norm())


def test_a_component_of_size_zero_and_copies_cost_nothing() -> None:
    factors = drawn((4, 5, 6), 3, 1)
    factors[1][:, 2] = 0
    assert float(loss_increases(factors)[2]) == 0
    assert bool((loss_increases(factors)[:2] > 0).all())
    torch.testing.assert_close(dense(drop_component(factors, 2)), dense(factors), rtol=1e-9, atol=1e-9)
    copied = [torch.cat([factor, factor[:, :1]], dim=1) for factor in drawn((4, 5, 6), 2, 1)]
    costs = loss_increases(copied)
    size = float(dense(copied).square().sum())
    assert float(costs[[0, 2]].max()) <= 1e-9 * size
    assert float(costs[1]) > 1e-2 * size
    torch.testing.assert_close(dense(drop_component(copied, 2)), dense(copied), rtol=1e-5, atol=1e-5)


def test_weights_stay_where_they_would_turn_negative() -> None:
    # Twice a component minus nearly the same: what is left alone would have to change its sign.
    first = [f.abs() for f in drawn((4, 5, 6), 1, 3)]
    second = [f + 0.05 * g.abs() for f, g in zip(first, drawn((4, 5, 6), 1, 4), strict=True)]
    third = [f.abs() for f in drawn((4, 5, 6), 1, 5)]
    factors = [torch.cat(parts, dim=1) for parts in zip(first, second, third, strict=True)]
    for index in range(3):
        assert all(bool((f >= 0).all()) for f in drop_component(factors, index, nonnegative=True))


def test_path_visits_every_number_and_the_truth_is_among_them() -> None:
    shape = (6, 5, 4)
    truth = drawn(shape, 2, 1)
    wide = [torch.cat([f, 0.05 * g], dim=1) for f, g in zip(truth, drawn(shape, 3, 2), strict=True)]
    data = CompleteData(dense(truth))
    path = list(elimination_path(data, wide, 1, settings()))
    assert [factors[0].shape[1] for factors in path] == [4, 3, 2, 1]
    error = (2 * data.loss(path[2])) ** 0.5 / data.norm
    assert error < 1e-6
    last = eliminate(data, wide, 2, settings())
    torch.testing.assert_close(dense(last), dense(path[2]), rtol=0, atol=0)
    assert eliminate(data, wide, 5, settings())[0].shape[1] == 5


def test_a_stopped_search_keeps_the_number_asked_for() -> None:
    recorder = Recorder(lambda _: True)
    recorder.note("before", 1.0, 5)
    data = CompleteData(noisy(exact((6, 5, 4), 2, 1), 0.1, 1))
    assert eliminate(data, drawn((6, 5, 4), 5, 2), 2, settings(recorder=recorder))[0].shape[1] == 2
    assert len(recorder.points) == 1
