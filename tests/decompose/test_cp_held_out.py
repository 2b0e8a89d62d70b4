"""Entries held out of data with gaps."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from tests.decompose.cp_problems import dense, drawn, exact, noise, noisy, observed, settings
from torch import Tensor

from rankfold.decompose import cp
from rankfold.decompose._held_out import best_shrinkage, hold_out
from rankfold.decompose._masked import MaskedData


def slices(mask: Tensor) -> list[Tensor]:
    """Per mode the number of entries in every slice."""
    order = mask.ndim
    return [mask.sum(dim=[axis for axis in range(order) if axis != mode]) for mode in range(order)]


@given(
    shape=st.lists(st.integers(1, 6), min_size=2, max_size=4).map(tuple),
    share=st.sampled_from([0.05, 0.3, 1.0]),
    seed=st.integers(0, 999),
)
def test_two_parts_of_what_was_observed_and_no_slice_is_emptied(
    shape: tuple[int, ...], share: float, seed: int
) -> None:
    mask = observed(shape, share, seed)
    x = noise(shape, seed)
    parts = hold_out(MaskedData(x, mask), torch.Generator().manual_seed(seed))
    train, test = parts.train.observed, parts.test.observed
    assert torch.equal(train | test, mask)
    assert not bool((train & test).any())
    for kept, given_ in zip(slices(train), slices(mask), strict=True):
        assert bool((kept > 0).eq(given_ > 0).all())


def test_a_tenth_is_held_out_and_the_seed_decides_which() -> None:
    shape = (20, 20, 20)
    data = MaskedData(noise(shape, 1), observed(shape, 0.5, 1))
    first, again, other = (hold_out(data, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(first.test.observed, again.test.observed)
    assert not torch.equal(first.test.observed, other.test.observed)
    assert 0.08 < first.test.count / data.count < 0.12
    assert first.train.count + first.test.count == data.count


def test_error_of_prediction_is_that_of_the_entries_held_out() -> None:
    factors = drawn((6, 7, 8), 2, 1)
    x = noisy(dense(factors), 0.1, 1)
    parts = hold_out(MaskedData(x, observed(x.shape, 0.7, 1)), torch.Generator().manual_seed(0))
    places = parts.test.observed
    expected = (dense(factors) - x)[places].norm() / x[places].norm()
    assert parts.error(factors) == pytest.approx(float(expected), rel=1e-12)
    zero = [torch.zeros_like(factor) for factor in factors]
    assert parts.error(zero) == pytest.approx(1)


def test_best_shrinkage_is_the_best_prediction() -> None:
    shape, rank = (12, 12, 12), 3
    found = []
    for share in (0.2, 0.8):
        x = noisy(exact(shape, rank, 1), 0.3, 1)
        parts = hold_out(MaskedData(x, observed(shape, share, 1)), torch.Generator().manual_seed(0))
        best = best_shrinkage(parts, drawn(shape, rank, 5), settings())
        assert best.error == pytest.approx(parts.error(best.factors), rel=1e-12)
        assert 0 < best.shrinkage <= 1
        found.append(best)
    # Weights are relative to the observed entries; the fits are better than no model at all.
    assert all(fit.error < 1 for fit in found)
    assert found[0].error > found[1].error


def test_large_data_with_gaps_whose_modes_are_reordered() -> None:
    generator = torch.Generator().manual_seed(4)
    factors = [torch.randn(size, 2, generator=generator, dtype=torch.float64) for size in (3, 200, 90, 2)]
    x = torch.einsum("ir,jr,kr,lr->ijkl", *factors)
    observed = torch.rand(x.shape, generator=generator) < 0.5
    result = cp(x, 2, mask=observed, generator=5)
    hidden = ~observed
    missed = (result.tensor.to_dense() - x)[hidden]
    assert torch.linalg.vector_norm(missed) < 0.05 * torch.linalg.vector_norm(x[hidden])
