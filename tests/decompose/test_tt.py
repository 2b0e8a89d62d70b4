"""Tensor trains of dense tensors."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rankfold import TT
from rankfold._errors import NonFiniteError, OptionError, RankError, ShapeError
from rankfold.decompose._tt import tt

EPS = torch.finfo(torch.float64).eps


@given(
    shape=st.lists(st.sampled_from([1, 2, 3, 7]), min_size=2, max_size=5).map(tuple),
    tolerance=st.sampled_from([0.0, 1e-9, 1e-4, 0.01, 0.1, 0.5, 0.99]),
    scale=st.sampled_from([1e-200, 1.0, 1e200]),
    seed=st.integers(0, 99),
)
def test_tolerance_is_kept(shape: tuple[int, ...], tolerance: float, scale: float, seed: int) -> None:
    torch.manual_seed(seed)
    tensor = torch.randn(shape, dtype=torch.float64) ** 3 * scale
    found = tt(tensor, tolerance=tolerance)
    error = float((found.tensor.to_dense() / scale - tensor / scale).norm() / (tensor / scale).norm())
    rounding = 16 * tensor.ndim * sum(shape) * EPS
    assert error <= tolerance + rounding
    assert found.relative_error == pytest.approx(error, rel=1e-3, abs=rounding)


def test_ranks() -> None:
    tensor = torch.randn(5, 6, 7, dtype=torch.float64)
    found = tt(tensor, (2, 3))
    assert found.tensor.ranks == (2, 3)
    assert found.method == "tt_svd"
    error = (found.tensor.to_dense() - tensor).norm() / tensor.norm()
    assert found.relative_error == pytest.approx(float(error), rel=1e-9)
    # Oseledets 2011, corollary 2.4: no more than the tails of all unfoldings together.
    tails = [
        torch.linalg.svdvals(tensor.reshape(rows, -1))[rank:].square().sum()
        for rows, rank in ((5, 2), (30, 3))
    ]
    assert error**2 <= sum(tails) / tensor.norm() ** 2


def test_exact_trains_are_found_to_all_digits() -> None:
    cores = [torch.randn(1, 9, 2), torch.randn(2, 8, 3), torch.randn(3, 7, 1)]
    tensor = TT(tuple(core.double() for core in cores)).to_dense()
    before = tensor.clone()
    found = tt(tensor, tolerance=1e-10)
    assert found.tensor.ranks == (2, 3)
    assert found.relative_error <= 1e-13
    assert torch.equal(tensor, before)


def test_zero_tensor() -> None:
    found = tt(torch.zeros(3, 4, 5), tolerance=0.1)
    assert found.tensor.ranks == (1, 1)
    assert found.relative_error == 0


def test_float32_and_arrays() -> None:
    tensor = torch.randn(4, 5, 6)
    found = tt(tensor.numpy(), tolerance=0.2)
    assert found.tensor.cores[0].dtype == torch.float32
    assert found.relative_error <= 0.2


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({}, OptionError),
        ({"ranks": 2, "tolerance": 0.1}, OptionError),
        ({"tolerance": 2.0}, OptionError),
        ({"ranks": (9, 9)}, RankError),
    ],
)
def test_refusals(options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        tt(torch.ones(3, 4, 5), **options)


def test_bad_data() -> None:
    with pytest.raises(NonFiniteError, match="tt"):
        tt(torch.tensor([[1.0, float("nan")], [1.0, 2.0]]), tolerance=0.1)
    with pytest.raises(ShapeError, match="tt"):
        tt(torch.ones(3), 1)
