from itertools import product

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.ranks.weights import Small, answers, diagonal, linear, ranks, views
from torch import nn

import rankfold as rf


@pytest.mark.parametrize(
    ("share", "rank"), [(0.5, 1), (0.9, 1), (0.900001, 2), (0.99, 2), (0.9900001, 3), (1.0, 3), (1e-9, 1)]
)
def test_ranks_keep_the_share_and_no_more(share: float, rank: int) -> None:
    # Squares 90, 9 and 1 of 100: at 0.9 and 0.99 the ranks are just enough.
    model = diagonal(90**0.5, 3.0, 1.0, size=8)
    assert ranks(model, rf.Energy(share)) == [(rank, rank)]


@pytest.mark.parametrize(
    ("tolerance", "rank"), [(0.0, 3), (0.0999, 3), (0.1, 2), (0.316, 2), (0.3163, 1), (0.99, 1)]
)
def test_ranks_are_the_lowest_within_the_tolerance(tolerance: float, rank: int) -> None:
    model = diagonal(90**0.5, 3.0, 1.0, size=8)
    assert ranks(model, rf.Tolerance(tolerance)) == [(rank, rank)]


@given(st.floats(0.05, 0.99), st.integers(0, 5))
def test_one_rule_under_two_names(tolerance: float, seed: int) -> None:
    torch.manual_seed(seed)
    model = Small()
    by_tolerance = answers(model, rf.Tolerance(tolerance))
    by_share = answers(model, rf.Energy(1 - tolerance**2))
    assert [row[:2] for row in by_tolerance] == [row[:2] for row in by_share]


@given(st.floats(0.05, 0.99), st.integers(0, 3))
def test_no_cheaper_ranks_are_within_the_tolerance(tolerance: float, seed: int) -> None:
    torch.manual_seed(seed)
    for weight, answer in zip(views(model := Small()), answers(model, rf.Tolerance(tolerance)), strict=True):
        forms = [weight.form(modes) for modes in weight.modes]
        costs = [
            form.parameters(each)
            for form in forms
            for each in product(*(range(1, size + 1) for size in form.energies.shape))
            if form.lost(each) <= tolerance**2 * form.total
        ]
        _, found, reason = answer
        if found is None:
            assert min(costs) >= weight.weight.numel()
            assert reason == "kept dense: at this tolerance low rank saves no parameters"
        else:
            modes = next(  # of equal ranks in the rows the way with the fewest factors was taken
                modes
                for modes in sorted(weight.modes, key=len)
                if all(found[mode] == weight.shape[mode] for mode in range(len(found)) if mode not in modes)
            )
            assert weight.form(modes).parameters(tuple(found[mode] for mode in modes)) == min(costs)


@given(st.floats(0.05, 0.99), st.integers(0, 3))
def test_the_weights_change_by_no_more_than_the_tolerance(tolerance: float, seed: int) -> None:
    torch.manual_seed(seed)
    model = Small().double()
    before = {name: value.detach().clone() for name, value in model.named_parameters()}
    rf.factorize(model, rf.Tolerance(tolerance))
    for name, value in rf.densify(model).named_parameters():
        error = float((value.detach() - before[name]).norm() / before[name].norm())
        assert error <= tolerance + 1e-12


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("policy", [rf.Energy(1.0), rf.Tolerance(0.0)])
def test_exact_low_rank_is_found_up_to_rounding(policy: rf.RankPolicy, dtype: torch.dtype) -> None:
    left, right = torch.randn(50, 7, dtype=torch.float64), torch.randn(7, 40, dtype=torch.float64)
    assert ranks(linear((left @ right).to(dtype)), policy) == [(7, 7)]
    assert ranks(linear(torch.zeros(50, 40, dtype=dtype)), policy) == [(1, 1)]


@pytest.mark.parametrize("policy", [rf.Energy(1.0), rf.Tolerance(0.0)])
def test_full_rank_stays_dense(policy: rf.RankPolicy) -> None:
    (row,) = answers(linear(torch.randn(20, 30)), policy)
    assert row[1] is None
    assert "low rank saves no parameters" in str(row[2])


def test_a_full_factor_is_left_out() -> None:
    layer = nn.Conv2d(16, 16, 3)
    # Of rank 2 in the outputs alone.
    layer.weight.data = torch.einsum("or,rihw->oihw", torch.randn(16, 2), torch.randn(2, 16, 3, 3))
    model = nn.Sequential(layer)
    rf.factorize(model, rf.Tolerance(1e-5))
    assert model[0].modes == (0,)
    assert model[0].ranks == (2, 16, 3, 3)


@pytest.mark.parametrize("share", [0, -0.1, 1.1, float("nan"), True, "0.9", None])
def test_energy_refuses(share: object) -> None:
    with pytest.raises(
        rf.OptionError, match=r"Energy: share must lie in \(0, 1\], got .*; 0\.9 keeps 90 percent"
    ):
        rf.Energy(share)


@pytest.mark.parametrize("tolerance", [-0.1, 1, 1.0, float("nan"), True, False, "0.1", None])
def test_tolerance_refuses(tolerance: object) -> None:
    with pytest.raises(
        rf.OptionError, match=r"Tolerance: tolerance must lie in \[0, 1\), got .*; 0\.1 is an error"
    ):
        rf.Tolerance(tolerance)
