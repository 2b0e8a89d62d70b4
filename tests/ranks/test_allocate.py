from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rankfold.ranks import Options, allocate

number = st.integers(0, 30).map(float)
option = st.tuples(number, number)
menu = st.lists(option, min_size=1, max_size=6).map(
    lambda points: Options(
        *(torch.tensor(column, dtype=torch.float64) for column in zip(*points, strict=True))
    )
)
menus = st.lists(menu, min_size=1, max_size=4)


def cost(options: list[Options], chosen: list[int]) -> float:
    return sum(float(each.costs[index]) for each, index in zip(options, chosen, strict=True))


def error(options: list[Options], chosen: list[int]) -> float:
    return sum(float(each.errors[index]) for each, index in zip(options, chosen, strict=True))


def best_error(options: list[Options], budget: float) -> float:
    every = product(*(range(len(each.costs)) for each in options))
    return min(error(options, list(chosen)) for chosen in every if cost(options, list(chosen)) <= budget)


@given(menus, st.integers(0, 120))
def test_the_budget_is_kept_and_no_single_change_that_fits_would_help(
    options: list[Options], budget: int
) -> None:
    chosen = allocate(options, budget)
    least = sum(float(each.costs.min()) for each in options)
    assert (chosen is None) == (least > budget)
    if chosen is None:
        return
    assert cost(options, chosen) <= budget
    for number, each in enumerate(options):
        for other in range(len(each.costs)):
            changed = [*chosen[:number], other, *chosen[number + 1 :]]
            assert cost(options, changed) > budget or error(options, changed) >= error(options, chosen)


@given(menus, st.integers(0, 1000))
def test_it_is_optimal_where_the_relaxed_problem_has_a_vertex(options: list[Options], price: int) -> None:
    # What minimises error + price * cost is optimal for the budget that it spends, whatever the price.
    price = (
        price / 100 + 1e-4
    )  # no two slopes of whole numbers up to 30 are as near to one another as this to any
    relaxed = [int((each.errors + price * each.costs).argmin()) for each in options]
    chosen = allocate(options, cost(options, relaxed))
    assert chosen is not None
    assert error(options, chosen) == pytest.approx(error(options, relaxed), abs=1e-9)
    assert error(options, chosen) == pytest.approx(best_error(options, cost(options, relaxed)), abs=1e-9)


@given(menus, st.integers(0, 120))
def test_it_is_at_most_one_hull_step_from_the_optimum(options: list[Options], budget: int) -> None:
    chosen = allocate(options, budget)
    if chosen is not None:
        step = max(float(each.errors.max() - each.errors.min()) for each in options)
        assert error(options, chosen) <= best_error(options, budget) + step


def test_ties_and_what_is_free() -> None:
    options = [Options(torch.tensor([1.0, 1.0, 1.0]), torch.tensor([3.0, 2.0, 2.0]))]
    assert allocate(options, 1) == [1]
    assert allocate([Options(torch.tensor([0.0]), torch.tensor([5.0]))], 0) == [0]
    assert allocate([Options(torch.tensor([2.0]), torch.tensor([5.0]))], 1.999) is None


def test_where_a_step_does_not_fit_part_of_it_goes_before_steps_that_gain_less() -> None:
    steep = Options(torch.arange(5.0), torch.tensor([100.0, 90.0, 75.0, 55.0, 0.0]))  # one step of the hull
    flat = Options(torch.arange(5.0), torch.tensor([4.0, 3.0, 2.0, 1.0, 0.0]))
    assert allocate([steep, flat], 3) == [3, 0]


def test_what_is_left_goes_where_it_fits() -> None:
    # The hull of the first leads over 2 to 10, too dear; 5 lies over the hull and fits.
    first = Options(torch.tensor([0.0, 5.0, 10.0]), torch.tensor([10.0, 9.0, 0.0]))
    second = Options(torch.tensor([0.0, 3.0]), torch.tensor([1.0, 0.5]))
    assert allocate([first, second], 9) == [1, 1]
