import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rankfold import NonFiniteError, RankError, ShapeError, Tucker


@given(
    shape=st.lists(st.integers(1, 6), min_size=2, max_size=4).map(tuple),
    tolerance=st.sampled_from([0.0, 1e-4, 0.1, 0.6]),
    scale=st.sampled_from([1e-30, 1e-10, 1.0, 1e10, 1e30]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    zero_slices=st.booleans(),
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_error_is_within_the_tolerance(
    shape: tuple[int, ...],
    tolerance: float,
    scale: float,
    dtype: torch.dtype,
    zero_slices: bool,
    seed: int,
    data: st.DataObject,
) -> None:
    torch.manual_seed(seed)
    modes = sorted(data.draw(st.sets(st.integers(0, len(shape) - 1), min_size=1)))
    tensor = torch.randn(shape, dtype=dtype) * scale
    if zero_slices:
        for mode in range(len(shape)):
            tensor.select(mode, 0).zero_()
    tucker = Tucker.from_dense(tensor, tolerance=tolerance, modes=modes)
    eps = torch.finfo(dtype).eps
    assert tucker.shape == shape
    assert tucker.modes == tuple(modes)
    assert tucker.orthonormality_defect() <= 4 * max(shape) * eps
    dense, exact = tucker.to_dense().double(), tensor.double()
    norm = torch.linalg.vector_norm(exact)
    # The tail that counts as rounding even at tolerance zero, then the rounding of one product per mode.
    allowed = max(tolerance, 4 * eps * max(shape) ** 0.5) + 4 * sum(shape) * eps
    assert torch.linalg.vector_norm(dense - exact) <= allowed * norm
    if zero_slices:
        assert all(tucker.ranks[mode] <= max(shape[mode] - 1, 1) for mode in modes)


@given(
    shape=st.lists(st.integers(1, 5), min_size=2, max_size=4).map(tuple),
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_low_rank_is_recovered(shape: tuple[int, ...], seed: int, data: st.DataObject) -> None:
    torch.manual_seed(seed)
    ranks = tuple(data.draw(st.integers(1, size)) for size in shape)
    factors = tuple(torch.randn(n, r, dtype=torch.float64) for n, r in zip(shape, ranks, strict=True))
    low = Tucker(torch.randn(ranks, dtype=torch.float64), factors)
    found = Tucker.from_dense(low.to_dense(), tolerance=1e-10)
    assert all(new <= old for new, old in zip(found.ranks, ranks, strict=True))
    assert torch.linalg.vector_norm(found.to_dense() - low.to_dense()) <= 1.1e-10 * low.norm()


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_scale_does_not_change_the_ranks(scale: float) -> None:
    tensor = torch.randn(6, 5, 4) ** 3
    tuckers = [Tucker.from_dense(tensor * factor, tolerance=0.3) for factor in (1.0, scale)]
    assert tuckers[0].ranks == tuckers[1].ranks != (6, 5, 4)


def test_given_ranks() -> None:
    tensor = torch.randn(6, 5, 4)
    assert Tucker.from_dense(tensor, ranks=3).ranks == (3, 3, 3)
    assert Tucker.from_dense(tensor, ranks=5).ranks == (5, 5, 4)
    assert Tucker.from_dense(tensor, ranks=(2, 3), modes=(2, 0)).ranks == (
        2,
        5,
        3,
    )  # in the order of the modes


@pytest.mark.parametrize(
    "tensor", [torch.ones(3), torch.ones(2, 2, dtype=torch.int64), torch.ones(2, 0), torch.tensor(1.0)]
)
def test_not_a_floating_point_tensor_of_order_two(tensor: torch.Tensor) -> None:
    with pytest.raises(ShapeError, match="order 2 or more"):
        Tucker.from_dense(tensor, tolerance=0.1)


@pytest.mark.parametrize("modes", [(), (0, 0), (2,), (-1,)])
def test_modes_that_the_tensor_lacks(modes: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="distinct numbers"):
        Tucker.from_dense(torch.ones(2, 3), tolerance=0.1, modes=modes)


@pytest.mark.parametrize("ranks", [0, 5, (1,), (4, 4), (1, 1, 1)])
def test_ranks_out_of_range(ranks: object) -> None:
    with pytest.raises(RankError, match=r"Tucker\.from_dense"):
        Tucker.from_dense(torch.ones(3, 4), ranks=ranks)


def test_not_finite() -> None:
    with pytest.raises(NonFiniteError, match="NaN or infinity"):
        Tucker.from_dense(torch.full((2, 3), float("nan")), tolerance=0.1)
