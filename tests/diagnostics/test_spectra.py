"""Spectra, updates and balance against what was planted."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

import rankfold as rf
from rankfold import NonFiniteError, OptionError, ShapeError
from rankfold.diagnostics import (
    Spectrum,
    UpdateRank,
    component_balance,
    pair_balance,
    spectrum,
    suggested_ranks,
    weight_spectra,
)
from rankfold.formats import CP


def network():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 10), nn.BatchNorm1d(10)
    ).double()


@given(values=st.lists(st.floats(0, 10), min_size=1, max_size=6), share=st.floats(0.01, 1.0))
def test_the_rank_at_a_share_holds_it_and_one_less_does_not(values, share):
    found = spectrum(torch.diag(torch.tensor(values, dtype=torch.float64)))
    rank = found.rank_at(share)
    assert found.energy(rank) >= share * (1 - 1e-9)
    assert rank == 1 or found.energy(rank - 1) < share
    largest = max(values)
    assert found.stable_rank <= found.effective_rank**2 + 1e-9
    assert 0 <= found.stable_rank <= len(values) + 1e-9
    assert largest == 0 or found.values[0] == pytest.approx(largest)


def test_of_equal_values_every_rank_is_their_number():
    found = spectrum(torch.eye(5, dtype=torch.float64))
    assert (found.stable_rank, round(found.effective_rank, 9), found.rank_at(1.0)) == (5.0, 5.0, 5)
    zero = spectrum(torch.zeros(3, 4))
    assert (zero.stable_rank, zero.effective_rank, zero.energy(1), zero.rank_at(0.9)) == (0.0, 0.0, 1.0, 1)


def test_factorised_weights_have_the_spectra_of_their_dense_ones():
    model = network()
    rf.factorize(model, 4)
    dense = {(one.name, one.mode): one for one in weight_spectra(rf.densify(network_like(model)))}
    found = weight_spectra(model)
    assert {(one.name, one.mode) for one in found} == set(dense) == {("0", 0), ("0", 1), ("3", 0)}
    for one in found:
        other = dense[one.name, one.mode].values
        assert one.values == pytest.approx(other[: len(one.values)], rel=1e-9, abs=1e-12)
        assert max(other[len(one.values) :], default=0.0) < 1e-12


def network_like(model):
    import copy

    return copy.deepcopy(model)


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_a_planted_update_has_its_rank(rank):
    model = network()
    update = UpdateRank(model)
    generator = torch.Generator().manual_seed(1)
    left, right = (torch.randn(n, rank, dtype=torch.float64, generator=generator) for n in (10, 128))
    with torch.no_grad():
        model[3].weight += left @ right.mT
    update(5)
    (found,) = (one for one in update.history[5] if one.name == "3")
    assert found.energy(rank) == pytest.approx(1.0, abs=1e-12)
    assert found.rank_at(1 - 1e-12) == rank
    assert suggested_ranks(update.spectra(), 1 - 1e-9) == {"0": 1, "3": rank}


def test_an_update_of_factors_counts_with_the_weight_they_stand_for():
    model = network()
    start = {name: value.clone() for name, value in model.state_dict().items()}
    rf.factorize(model, 3)
    update = UpdateRank(model, start)
    by_name = {one.name: one for one in update.spectra() if one.mode == 0}
    assert (
        len([value for value in by_name["3"].values if value > 1e-9]) == 7
    )  # what truncation to 3 of 10 took away


def test_refusals():
    with pytest.raises(ShapeError):
        spectrum(torch.ones(3))
    with pytest.raises(ShapeError):
        spectrum(torch.ones(3, 0))
    with pytest.raises(ShapeError):
        spectrum(torch.ones(3, 3), 2)
    with pytest.raises(NonFiniteError, match="fc"):
        spectrum(torch.full((2, 2), float("nan")), name="fc")
    with pytest.raises(OptionError):
        Spectrum(shape=(1, 1), mode=0, values=(1.0,)).rank_at(0.0)
    with pytest.raises(OptionError, match="no linear"):
        UpdateRank(nn.ReLU())
    with pytest.raises(OptionError, match="none"):
        UpdateRank(network(), {})
    with pytest.raises(ShapeError):
        pair_balance(torch.ones(2, 3), torch.ones(2, 3))


@given(scale=st.floats(1e-3, 1e3))
def test_balance(scale):
    generator = torch.Generator().manual_seed(0)
    u, s, vt = torch.linalg.svd(
        torch.randn(5, 4, dtype=torch.float64, generator=generator), full_matrices=False
    )
    left, right = u * s.sqrt(), s.sqrt().unsqueeze(1) * vt
    assert pair_balance(left, right) < 1e-12
    moved = pair_balance(scale * left, right / scale)
    assert 0 <= moved <= 1
    assert (moved < 1e-9) == (abs(scale - 1) < 1e-9) or moved < abs(scale - 1) * 10
    factors = tuple(nn.functional.normalize(torch.randn(n, 2, dtype=torch.float64), dim=0) for n in (3, 4, 5))
    tensor = CP(torch.ones(2, dtype=torch.float64), (factors[0] * scale, *factors[1:]))
    assert component_balance(tensor) == pytest.approx(max(scale, 1 / scale))
    assert component_balance(CP(torch.zeros(2), (torch.zeros(3, 2), torch.zeros(4, 2)))) == 1.0
