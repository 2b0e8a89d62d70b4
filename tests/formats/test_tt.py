import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rankfold import TT, NonFiniteError, OptionError, RankError, ShapeError
from rankfold.testing import assert_same

EPS = torch.finfo(torch.float64).eps


def random_tt(shape: tuple[int, ...], ranks: tuple[int, ...]) -> TT:
    sizes = zip((1, *ranks), shape, (*ranks, 1), strict=True)
    return TT(tuple(torch.randn(size, dtype=torch.float64) for size in sizes))


def left_defect(core: Tensor) -> Tensor:
    matrix = core.flatten(0, 1)
    return (matrix.mT @ matrix - torch.eye(matrix.shape[1]).to(matrix)).abs().amax()


@pytest.mark.parametrize(
    ("cores", "message"),
    [
        ((torch.ones(1, 3, 1),), "two or more cores"),
        ((torch.ones(3, 2), torch.ones(2, 4, 1)), "two or more cores"),
        ((torch.ones(2, 3, 2), torch.ones(2, 4, 1)), "1 at both ends"),
        ((torch.ones(1, 3, 2), torch.ones(2, 4, 2)), "1 at both ends"),
        ((torch.ones(1, 3, 2), torch.ones(3, 4, 1)), r"\[\(1, 3, 2\), \(3, 4, 1\)\]"),
        ((torch.ones(1, 3, 2), torch.ones(2, 4, 1).double()), "one floating-point dtype"),
        ((torch.ones(1, 3, 2), torch.ones(2, 4, 1, device="meta")), "on meta"),
        ((torch.ones(1, 3, 2).long(), torch.ones(2, 4, 1).long()), "floating-point"),
    ],
)
def test_cores_that_do_not_fit(cores: tuple[Tensor, ...], message: str) -> None:
    with pytest.raises(ShapeError, match=message):
        TT(cores)


@given(
    shape=st.lists(st.integers(1, 5), min_size=2, max_size=5).map(tuple),
    tolerance=st.sampled_from([0.0, 1e-10, 1e-4, 0.1, 0.6]),
    exponent=st.sampled_from([-150, -30, 0, 30, 150]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    seed=st.integers(0, 99),
)
def test_error_of_tt_svd(
    shape: tuple[int, ...], tolerance: float, exponent: int, dtype: torch.dtype, seed: int
) -> None:
    torch.manual_seed(seed)
    tensor = torch.randn(shape, dtype=dtype) * 10.0 ** (exponent if dtype == torch.float64 else exponent / 10)
    result = TT.from_dense(tensor, tolerance=tolerance)
    eps = torch.finfo(dtype).eps
    scale = tensor.abs().amax()
    error, norm = (
        torch.linalg.vector_norm(t.double()) for t in ((result.to_dense() - tensor) / scale, tensor / scale)
    )
    assert error <= (max(tolerance, 4 * eps * max(shape) ** 0.5) + 4 * (sum(shape) + len(shape)) * eps) * norm
    assert all(left_defect(core) <= 40 * eps for core in result.cores[:-1])
    assert result.dtype == dtype


def test_rounding_of_the_own_precision_goes_at_any_tolerance() -> None:
    single = TT(tuple(core.float() for core in random_tt((5, 6, 5), (2, 2)).cores))
    dense = single.to_dense()
    assert TT.from_dense(dense, tolerance=0.0).ranks == (2, 2)
    assert TT.from_dense(dense.double(), tolerance=0.0).ranks == (5, 5)
    wide = TT.from_dense(dense, ranks=5)
    assert wide.ranks == (5, 5)
    assert wide.truncate(tolerance=0.0).ranks == (2, 2)


@given(
    shape=st.lists(st.integers(1, 5), min_size=2, max_size=5).map(tuple),
    ranks=st.lists(st.integers(1, 6), min_size=4, max_size=4),
    tolerance=st.sampled_from([0.0, 1e-10, 1e-2, 0.5]),
    exponent=st.sampled_from([-150, 0, 150]),
    seed=st.integers(0, 99),
)
def test_rounding_of_sums(
    shape: tuple[int, ...], ranks: list[int], tolerance: float, exponent: int, seed: int
) -> None:
    torch.manual_seed(seed)
    value = random_tt(shape, tuple(ranks[: len(shape) - 1]))
    value = TT((value.cores[0] * 10.0**exponent, *value.cores[1:]))
    result, dense = value.truncate(tolerance=tolerance), value.to_dense()
    norm = torch.linalg.vector_norm(dense)
    rounding = 16 * (sum(shape) + sum(ranks)) * EPS
    assert torch.linalg.vector_norm(result.to_dense() - dense) <= (tolerance + rounding) * norm
    # The ranks of the matrices that TT-SVD finds in the dense tensor, however large those stored were.
    if tolerance == 1e-10:
        assert result.ranks == TT.from_dense(dense, tolerance=tolerance).ranks


@pytest.mark.parametrize("center", range(4))
def test_orthogonal_cores(center: int) -> None:
    value = random_tt((3, 4, 2, 3), (5, 4, 2))  # 5 is more than the first mode has
    result = value.orthogonalize(center)
    assert result.ranks == ((3, 4, 2) if center else (5, 4, 2))
    assert_same(result.to_dense(), value.to_dense(), terms=30)
    assert all(left_defect(core) <= 40 * EPS for core in result.cores[:center])
    assert all(left_defect(core.permute(2, 1, 0)) <= 40 * EPS for core in result.cores[center + 1 :])
    assert_same(torch.linalg.vector_norm(result.cores[center]), value.norm(), terms=30)


@pytest.mark.parametrize("center", [-1, 4])
def test_center_out_of_range(center: int) -> None:
    with pytest.raises(OptionError, match=r"mode in 0\.\.3"):
        random_tt((3, 4, 2, 3), (2, 2, 2)).orthogonalize(center)


def test_given_ranks() -> None:
    tensor = torch.randn(3, 4, 5, 2, dtype=torch.float64)
    assert TT.from_dense(tensor, ranks=4).ranks == (3, 4, 2)
    assert TT.from_dense(tensor, ranks=(2, 3, 1)).ranks == (2, 3, 1)
    assert_same(TT.from_dense(tensor, ranks=(3, 10, 2)).to_dense(), tensor, terms=30)
    value = random_tt((3, 4, 5, 2), (2, 3, 2))
    assert value.truncate(ranks=(1, 2, 2)).ranks == (1, 2, 2)
    for ranks in ((4, 1, 1), (1, 1), 11, 0):
        with pytest.raises(RankError, match=r"TT\.from_dense"):
            TT.from_dense(tensor, ranks=ranks)


def test_best_of_two_modes_is_the_singular_value_decomposition() -> None:
    matrix = torch.randn(6, 5, dtype=torch.float64)
    values = torch.linalg.svdvals(matrix)
    error = torch.linalg.vector_norm(TT.from_dense(matrix, ranks=2).to_dense() - matrix)
    assert_same(error, torch.linalg.vector_norm(values[2:]), terms=30)
    canonical = TT.from_dense(matrix, tolerance=0.0)
    assert_same(torch.linalg.vector_norm(canonical.cores[1][:, :, 0], dim=1), values, terms=30)


def test_long_trains() -> None:
    order = 250  # 10^250 entries, and a norm near 10^184 if the first core did not hold it down
    value = random_tt((10,) * order, (3,) * (order - 1))
    value = TT((value.cores[0].sign() * 1e-184, *(core.sign() for core in value.cores[1:])))
    doubled = TT((2 * value.cores[0], *value.cores[1:]))
    norm = value.norm()
    assert 1e-20 < norm < 1e20
    assert_same(value.inner(doubled) / norm**2, torch.tensor(2.0).double(), terms=10 * order)
    # A train and itself side by side: rounding finds half the ranks again.
    cores = [torch.cat([value.cores[0], value.cores[0]], dim=2)]
    for core in value.cores[1:-1]:
        left, right = torch.cat([core, 0 * core], dim=2), torch.cat([0 * core, core], dim=2)
        cores.append(torch.cat([left, right]))
    cores.append(torch.cat([value.cores[-1], value.cores[-1]]))
    rounded = TT(tuple(cores)).truncate(tolerance=1e-10)
    assert rounded.ranks == (3,) * (order - 1)
    assert rounded.inner(value) / norm**2 == pytest.approx(2.0, rel=1e-9)


@pytest.mark.parametrize("tensor", [torch.ones(3), torch.ones(2, 2).long(), torch.ones(2, 0)])
def test_not_a_floating_point_tensor_of_order_two(tensor: Tensor) -> None:
    with pytest.raises(ShapeError, match="order 2 or more"):
        TT.from_dense(tensor, tolerance=0.1)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_not_finite(value: float) -> None:
    with pytest.raises(NonFiniteError, match="NaN or infinity"):
        TT.from_dense(torch.full((2, 3), value), tolerance=0.1)
    with pytest.raises(NonFiniteError, match="NaN or infinity"):
        TT((torch.full((1, 2, 1), value), torch.ones(1, 2, 1))).truncate(tolerance=0.1)
