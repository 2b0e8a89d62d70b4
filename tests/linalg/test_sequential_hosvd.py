import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rankfold import NonFiniteError, RankError
from rankfold.linalg import HOSVD, mode_product, orthonormality_defect, sequential_hosvd, unfold

EPS = torch.finfo(torch.float64).eps


def multiplied_out(result: HOSVD) -> Tensor:
    tensor = result.core
    for mode, basis in result.bases.items():
        tensor = mode_product(tensor, basis, mode)
    return tensor


def rounding(tensor: Tensor) -> float:
    return 8 * tensor.ndim * sum(tensor.shape) * EPS


@given(
    shape=st.lists(st.sampled_from([1, 2, 3, 5, 30]), min_size=2, max_size=3).map(tuple),
    tolerance=st.sampled_from([0.0, 1e-12, 1e-6, 1e-3, 0.1, 0.5, 0.99]),
    method=st.sampled_from([None, "gram", "svd"]),
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_error_is_within_the_tolerance(
    shape: tuple[int, ...], tolerance: float, method: str | None, seed: int, data: st.DataObject
) -> None:
    torch.manual_seed(seed)
    tensor = torch.randn(shape, dtype=torch.float64) ** 3
    modes = tuple(data.draw(st.permutations(range(len(shape)))))
    result = sequential_hosvd(tensor, modes, tolerance=tolerance, method=method)
    norm = torch.linalg.vector_norm(tensor)
    error = torch.linalg.vector_norm(multiplied_out(result) - tensor)
    # Squares of singular values carry errors of eps, the values themselves of sqrt(eps).
    resolved = 4 * EPS**0.5 if method == "gram" else 4 * EPS * max(shape) ** 0.5
    assert error <= max(tolerance, resolved) * norm + rounding(tensor) * norm
    assert abs(result.error**2 - error**2) <= rounding(tensor) * norm**2
    for mode, basis in result.bases.items():
        assert orthonormality_defect(basis) <= rounding(tensor)
        assert basis.shape[1] == result.core.shape[mode] <= tensor.numel() // shape[mode]


@given(
    shape=st.tuples(*[st.integers(2, 6)] * 3),
    ranks=st.tuples(*[st.integers(1, 2)] * 3),
    seed=st.integers(0, 99),
)
def test_error_is_bounded_by_the_tails(shape: tuple[int, ...], ranks: tuple[int, ...], seed: int) -> None:
    torch.manual_seed(seed)
    tensor = torch.randn(shape, dtype=torch.float64)
    result = sequential_hosvd(tensor, (0, 1, 2), ranks=ranks)
    assert tuple(result.core.shape) == ranks
    # Vannieuwenhoven et al. 2012, theorem 6.5: no more than all tails together.
    tails = [
        torch.linalg.svdvals(unfold(tensor, mode))[rank:].square().sum() for mode, rank in enumerate(ranks)
    ]
    error = torch.linalg.vector_norm(multiplied_out(result) - tensor)
    assert error**2 <= sum(tails) + rounding(tensor) * torch.linalg.vector_norm(tensor) ** 2


def test_no_worse_than_sqrt_d_times_alternating_optimisation() -> None:
    tensorly = pytest.importorskip("tensorly")
    from tensorly.decomposition import tucker

    tensor = torch.randn(6, 7, 8, dtype=torch.float64)
    core, factors = tucker(tensor.numpy(), rank=[3, 3, 3], init="svd", tol=1e-10)
    best = tensorly.norm(tensorly.tucker_to_tensor((core, factors)) - tensor.numpy())
    result = sequential_hosvd(tensor, (0, 1, 2), ranks=(3, 3, 3))
    assert best <= result.error * (1 + 1e-6) <= 3**0.5 * best * (1 + 1e-6)


@pytest.mark.parametrize("method", ["gram", "svd"])
@pytest.mark.parametrize("shape", [(6, 6), (40, 5), (5, 40), (5, 1, 40)])
def test_matrices_are_cut_best(shape: tuple[int, ...], method: str) -> None:
    tensor = torch.randn(shape, dtype=torch.float64)
    values = torch.linalg.svdvals(tensor.squeeze())
    ranks = tuple(min(3, size) for size in shape)
    for result in (
        sequential_hosvd(tensor, tuple(range(len(shape))), ranks=ranks, method=method),
        sequential_hosvd(
            tensor,
            tuple(range(len(shape))),
            tolerance=1.001 * float(torch.linalg.vector_norm(values[3:]) / torch.linalg.vector_norm(values)),
            method=method,
        ),
    ):
        assert tuple(result.core.shape) == ranks
        error = torch.linalg.vector_norm(multiplied_out(result) - tensor)
        best = torch.linalg.vector_norm(values[3:])
        assert abs(error - best) <= rounding(tensor) * torch.linalg.vector_norm(values)


def test_unused_share_passes_on() -> None:
    # All the error there is lies in mode 1: the first mode takes none of the budget, the second may use it all.
    tensor = torch.zeros(2, 3, 2, dtype=torch.float64)
    tensor[0, 0, 0], tensor[1, 0, 1], tensor[0, 1, 0] = 1, 1, 0.09
    result = sequential_hosvd(tensor, (0, 2, 1), tolerance=0.065)
    assert tuple(result.core.shape) == (2, 1, 2)


@pytest.mark.parametrize("ranks", [(3, 3), (5, 5), (1, 4)])
def test_ranks_above_the_numerical_rank(ranks: tuple[int, int]) -> None:
    tensor = torch.outer(torch.arange(1.0, 10), torch.arange(1.0, 6)).double()
    result = sequential_hosvd(tensor, (0, 1), ranks=ranks)
    assert tuple(result.core.shape) == ranks
    assert all(orthonormality_defect(basis) <= rounding(tensor) for basis in result.bases.values())
    error = torch.linalg.vector_norm(multiplied_out(result) - tensor)
    assert error <= rounding(tensor) * torch.linalg.vector_norm(tensor)


def test_ranks_above_what_the_others_leave() -> None:
    tensor = torch.randn(4, 3, 3, dtype=torch.float64)
    result = sequential_hosvd(tensor, (1, 2, 0), ranks=(1, 2, 4))  # the last unfolding is 4 x 2
    assert tuple(result.core.shape) == (4, 1, 2)
    assert orthonormality_defect(result.bases[0]) <= rounding(tensor)


@pytest.mark.parametrize("ranks", [(0, 1), (1, 6), (5, 1)])
def test_ranks_out_of_range(ranks: tuple[int, int]) -> None:
    with pytest.raises(RankError, match="must lie in"):
        sequential_hosvd(torch.ones(4, 5), (0, 1), ranks=ranks)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_not_finite(value: float) -> None:
    tensor = torch.ones(2, 3)
    tensor[1, 1] = value
    with pytest.raises(NonFiniteError, match="sequential_hosvd"):
        sequential_hosvd(tensor, (0, 1), tolerance=0.1)


@pytest.mark.parametrize("shape", [(3, 4), (2, 3, 4), (1, 1)])
def test_zero_tensors_have_rank_one(shape: tuple[int, ...]) -> None:
    result = sequential_hosvd(torch.zeros(shape), tuple(range(len(shape))), tolerance=0.0)
    assert set(result.core.shape) == {1}
    assert result.error == 0
    assert not result.core.any()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32])
def test_result_has_the_dtype_of_the_tensor(dtype: torch.dtype) -> None:
    tensor = torch.randn(5, 4, 3).to(dtype)
    result = sequential_hosvd(tensor, (0, 1, 2), tolerance=0.0)
    assert {result.core.dtype, *(basis.dtype for basis in result.bases.values())} == {dtype}
    error = torch.linalg.vector_norm(multiplied_out(result).double() - tensor.double())
    # Core and three factors are each rounded to the dtype, and so is each of the three products.
    assert error <= 7 * 5 * torch.finfo(dtype).eps * torch.linalg.vector_norm(tensor.double())
