"""Sparse data against the same numbers in dense form."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from torch import Tensor

from rankfold._errors import NonFiniteError, ShapeError
from rankfold.decompose import _sparse
from rankfold.decompose._complete import CompleteData
from rankfold.decompose._sparse import SparseData


def _pair(shape: tuple[int, ...], seed: int, density: float = 0.3) -> tuple[SparseData, CompleteData]:
    generator = torch.Generator().manual_seed(seed)
    dense = torch.randn(shape, generator=generator, dtype=torch.float64)
    dense = dense * (torch.rand(shape, generator=generator) < density)
    dense.view(-1)[0] = 1.5
    return SparseData(dense.to_sparse()), CompleteData(dense)


def _factors(shape: tuple[int, ...], rank: int, seed: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1000 + seed)
    return [torch.randn(size, rank, generator=generator, dtype=torch.float64) for size in shape]


def _close(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)


@given(
    shape=st.lists(st.integers(1, 6), min_size=2, max_size=4).map(tuple),
    rank=st.integers(1, 5),
    seed=st.integers(0, 99),
)
@settings(max_examples=25)
def test_everything_is_as_for_dense_data(shape: tuple[int, ...], rank: int, seed: int) -> None:
    sparse, dense = _pair(shape, seed)
    factors, probes = _factors(shape, rank, seed), _factors(shape, 3, seed + 1)
    assert (sparse.shape, sparse.count, sparse.dtype) == (dense.shape, dense.count, dense.dtype)
    assert sparse.norm == pytest.approx(dense.norm, rel=1e-13)
    assert sparse.loss(factors) == pytest.approx(dense.loss(factors), rel=1e-11, abs=1e-11)
    loss, slopes = sparse.gradients(factors)
    assert loss == pytest.approx(dense.loss(factors), rel=1e-11, abs=1e-11)
    for found, expected in zip(slopes, dense.gradients(factors)[1], strict=True):
        _close(found, expected)
    for mode in range(len(shape)):
        _close(sparse.contract(factors, probes, mode), dense.contract(factors, probes, mode))
        _close(sparse.contract([], probes, mode), dense.contract([], probes, mode))
    _close(sparse.normal(factors).matrix(), dense.normal(factors).matrix())


def test_sweep_reads_the_factors_that_were_written() -> None:
    sparse, dense = _pair((4, 5, 3), 1)
    left, right = _factors((4, 5, 3), 2, 1), _factors((4, 5, 3), 2, 1)
    for (mode, side, gram), (other, expected, matrix) in zip(
        sparse.sweep(left), dense.sweep(right), strict=True
    ):
        assert mode == other
        _close(side, expected)
        _close(gram, matrix)
        left[mode] = torch.linalg.solve(gram, side.mT).mT
        right[mode] = torch.linalg.solve(matrix, expected.mT).mT
    assert sparse.loss(left) < sparse.loss(_factors((4, 5, 3), 2, 1))


def test_the_list_is_taken_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    sparse, dense = _pair((6, 5, 4), 2, density=0.9)
    factors = _factors((6, 5, 4), 3, 2)
    monkeypatch.setattr(_sparse, "_CHUNK", 10)
    assert sparse.loss(factors) == pytest.approx(dense.loss(factors), rel=1e-12)
    _close(sparse.mttkrp(factors, 1), dense.contract([], factors, 1))


def test_a_shape_far_beyond_memory() -> None:
    size, count, rank = 100_000, 2_000, 2
    generator = torch.Generator().manual_seed(3)
    places = torch.randint(size, (3, count), generator=generator)
    places[:, -1] = size - 1
    values = torch.randn(count, generator=generator, dtype=torch.float64)
    data = SparseData(torch.sparse_coo_tensor(places, values, (size,) * 3, check_invariants=True))
    factors = _factors(data.shape, rank, 3)
    assert data.count == 10**15
    expected = torch.zeros(size, rank, dtype=torch.float64)
    for place, value in zip(places.T.tolist(), values.tolist(), strict=True):
        expected[place[1]] += value * factors[0][place[0]] * factors[2][place[2]]
    _close(data.mttkrp(factors, 1), expected)
    grams = [factor.mT @ factor for factor in factors]
    rows = factors[0][places[0]] * factors[1][places[1]] * factors[2][places[2]]
    square = float((grams[0] * grams[1] * grams[2]).sum())
    assert data.loss(factors) == pytest.approx(
        0.5 * (float(values.square().sum()) - 2 * float(rows.sum(1) @ values) + square), rel=1e-12
    )


def test_entries_listed_twice_are_added_and_zeros_are_fine() -> None:
    places = torch.tensor([[0, 0, 1, 2], [1, 1, 0, 2]])
    values = torch.tensor([1.0, 2.0, 5.0, 0.0])
    given_ = torch.sparse_coo_tensor(places, values, (3, 4), check_invariants=True)
    data = SparseData(given_)
    assert data.norm == pytest.approx(34**0.5, rel=1e-7)
    assert not given_.is_coalesced()
    assert data.loss([torch.zeros(3, 1), torch.zeros(4, 1)]) == pytest.approx(17.0)


def test_float32_sums_in_float64() -> None:
    # In float32 a running sum of 2^25 ones ends at 2^24.
    count = 2**12
    places = torch.stack([torch.zeros(count, dtype=torch.long), torch.arange(count)])
    data = SparseData(
        torch.sparse_coo_tensor(places, torch.full((count,), 1e-4), (1, count), check_invariants=True)
    )
    big = torch.full((count, 1), 1e-4)
    big[0] = 2.0**24
    found = data.mttkrp([torch.ones(1, 1), big], 0)
    assert found.dtype == torch.float32
    exact = float((big.double() * float(torch.tensor(1e-4))).sum())
    assert abs(float(found) - exact) <= exact * 2**-24
    assert data.gradients([torch.ones(1, 1), big])[1][0].dtype == torch.float32


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (torch.ones(3, 3), "layout"),
        (torch.ones(3).to_sparse(), "order 2"),
        (torch.ones(3, 3, dtype=torch.int64).to_sparse(), "int64"),
        (torch.ones(3, 3, 2).to_sparse(2), "dense axes"),
        (torch.zeros(3, 3).to_sparse(), "lists no entries"),
    ],
)
def test_what_is_no_sparse_tensor_is_refused(tensor: Tensor, message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        SparseData(tensor)


def test_values_that_are_not_finite_are_refused() -> None:
    with pytest.raises(NonFiniteError, match="1 of 2"):
        SparseData(torch.tensor([[1.0, 0.0], [0.0, float("nan")]]).to_sparse())
