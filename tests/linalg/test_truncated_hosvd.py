import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rankfold import NonFiniteError, RankError
from rankfold.linalg import HOSVD, mode_product, orthonormality_defect, truncated_hosvd, unfold

EPS = torch.finfo(torch.float64).eps


def multiplied_out(result: HOSVD) -> Tensor:
    tensor = result.core
    for mode, basis in result.bases.items():
        tensor = mode_product(tensor, basis, mode)
    return tensor


def decaying(shape: tuple[int, ...], base: float) -> Tensor:
    """A random tensor whose entries, and with them its singular values, fall geometrically."""
    tensor = torch.randn(shape, dtype=torch.float64)
    for mode, size in enumerate(shape):
        scales = base ** torch.arange(size, dtype=torch.float64)
        tensor = mode_product(tensor, torch.diag(scales), mode)
    return tensor


def rounding(tensor: Tensor) -> float:
    return 8 * tensor.ndim * sum(tensor.shape) * EPS


@given(
    shape=st.lists(st.integers(1, 6), min_size=2, max_size=5).map(tuple),
    tolerance=st.sampled_from([0.0, 1e-12, 1e-6, 1e-3, 0.1, 0.5, 0.99]),
    base=st.sampled_from([1.0, 0.5, 0.01]),
    seed=st.integers(0, 99),
    data=st.data(),
)
def test_error_is_within_the_tolerance(
    shape: tuple[int, ...], tolerance: float, base: float, seed: int, data: st.DataObject
) -> None:
    torch.manual_seed(seed)
    tensor = decaying(shape, base)
    modes = tuple(sorted(data.draw(st.sets(st.integers(0, len(shape) - 1), min_size=1))))
    (result,) = truncated_hosvd([tensor], [modes], tolerance=tolerance)
    norm = torch.linalg.vector_norm(tensor)
    error = torch.linalg.vector_norm(multiplied_out(result) - tensor)
    # Tails below 4 eps sqrt(n) go in every mode even at tolerance zero.
    floor = 4 * EPS * max(shape) ** 0.5 * len(shape) ** 0.5
    assert error <= max(tolerance, floor) * norm + rounding(tensor) * norm
    assert abs(result.error**2 - error**2) <= rounding(tensor) * norm**2
    for mode, basis in result.bases.items():
        assert orthonormality_defect(basis) <= rounding(tensor)
        assert basis.shape == (shape[mode], result.core.shape[mode])
        assert result.demanded[mode] >= result.core.shape[mode]


def test_errors_of_the_modes_add_up() -> None:
    tensor = torch.zeros(2, 2, 2)
    tensor[0, 0, 0] = 1
    tensor[1, 1, 0] = tensor[1, 0, 1] = tensor[0, 1, 1] = 0.1
    # To cut one mode loses 0.139 of the norm, to cut all three 0.171.
    assert truncated_hosvd([tensor], [(0, 1, 2)], tolerance=0.15)[0].core.shape == (2, 2, 2)
    assert truncated_hosvd([tensor], [(0, 1, 2)], tolerance=0.25)[0].core.shape == (1, 1, 1)


@given(
    sizes=st.tuples(st.integers(1, 8), st.integers(1, 8)),
    tolerance=st.floats(1e-3, 0.95),
    seed=st.integers(0, 99),
)
def test_a_matrix_loses_exactly_its_tail(sizes: tuple[int, int], tolerance: float, seed: int) -> None:
    torch.manual_seed(seed)
    matrix = decaying(sizes, 0.6)
    values = torch.linalg.svdvals(matrix)
    tails = values.square().flip(0).cumsum(0).flip(0).sqrt()
    rank = max(int((tails > tolerance * tails[0]).sum()), 1)
    (result,) = truncated_hosvd([matrix], [(0, 1)], tolerance=tolerance)
    assert result.core.shape == (rank, rank)
    error = torch.linalg.vector_norm(multiplied_out(result) - matrix)
    assert abs(error - (tails[rank] if rank < len(tails) else 0)) <= rounding(matrix) * tails[0]
    assert (result.core.abs() - torch.diag(values[:rank])).abs().max() <= rounding(matrix) * tails[0]


@pytest.mark.parametrize("shape", [(7, 7), (7, 1, 7), (1, 7, 7, 1)])
@pytest.mark.parametrize("rank", range(1, 8))
def test_equal_singular_values_are_cut_at_matching_directions(shape: tuple[int, ...], rank: int) -> None:
    identity = torch.eye(7, dtype=torch.float64).reshape(shape)
    tolerance = ((7 - rank + 0.5) / 7) ** 0.5  # room for 7 - rank of the 7 equal values
    (result,) = truncated_hosvd([identity], [tuple(range(len(shape)))], tolerance=min(tolerance, 0.999))
    error = torch.linalg.vector_norm(multiplied_out(result) - identity)
    assert sorted(result.core.shape)[-2:] == [rank, rank]
    assert abs(error - (7 - rank) ** 0.5) <= rounding(identity) * 7**0.5


@given(shape=st.lists(st.integers(1, 5), min_size=2, max_size=4).map(tuple), seed=st.integers(0, 99))
def test_without_a_tolerance_the_tensor_is_only_rotated(shape: tuple[int, ...], seed: int) -> None:
    torch.manual_seed(seed)
    tensor = torch.randn(shape, dtype=torch.float64)
    norm = torch.linalg.vector_norm(tensor)
    (result,) = truncated_hosvd([tensor], [tuple(range(len(shape)))])
    assert result.core.shape == tensor.shape
    assert torch.linalg.vector_norm(multiplied_out(result) - tensor) <= rounding(tensor) * norm
    for mode in range(len(shape)):
        gram = unfold(result.core, mode) @ unfold(result.core, mode).mT
        assert (gram - torch.diag(gram.diagonal())).abs().max() <= rounding(tensor) * norm**2
        lengths = gram.diagonal()
        assert bool((lengths[1:] <= lengths[:-1] + rounding(tensor) * norm**2).all())
        assert (result.spectra[mode].square() - lengths).abs().max() <= rounding(tensor) * norm**2


@pytest.mark.parametrize("shape", [(6, 5, 4), (20, 2, 3), (3, 4, 5, 2)])
def test_gram_and_svd_agree(shape: tuple[int, ...]) -> None:
    tensor, modes = decaying(shape, 0.3), tuple(range(len(shape)))
    gram, svd = (
        truncated_hosvd([tensor], [modes], tolerance=1e-3, method=method)[0] for method in ("gram", "svd")
    )
    assert gram.core.shape == svd.core.shape
    for mode in modes:
        squares = gram.spectra[mode].square() - svd.spectra[mode].square()
        largest = svd.spectra[mode][0] ** 2
        assert squares.abs().max() <= rounding(tensor) * largest
        rank = svd.core.shape[mode]
        below = svd.spectra[mode][rank] ** 2 if rank < shape[mode] else 0
        gap = float((svd.spectra[mode][rank - 1] ** 2 - below) / largest)
        one, two = gram.bases[mode], svd.bases[mode]
        assert torch.linalg.matrix_norm(one @ one.mT - two @ two.mT) <= rounding(tensor) / gap


def test_smallest_and_largest_ranks() -> None:
    tensor, modes = torch.zeros(6, 6, 6), (0, 1, 2)
    for index in range(6):
        tensor[index, index, index] = 0.1**index
    (free,) = truncated_hosvd([tensor], [modes], tolerance=0.05)
    assert free.core.shape == (2, 2, 2)
    (low,) = truncated_hosvd([tensor], [modes], tolerance=0.05, max_ranks=[(1, 2, 6)])
    assert low.core.shape == (1, 2, 2)
    assert low.demanded == {0: 2, 1: 2, 2: 2}
    (high,) = truncated_hosvd([tensor], [modes], tolerance=0.05, min_rank=4)
    assert high.core.shape == (4, 4, 4)
    (all_there_is,) = truncated_hosvd([tensor], [modes], tolerance=0.05, min_rank=9)
    assert all_there_is.core.shape == (6, 6, 6)


def test_both_sides_of_a_matrix_obey_the_smaller_limit() -> None:
    (result,) = truncated_hosvd([torch.eye(5)], [(0, 1)], tolerance=0.0, max_ranks=[(4, 2)])
    assert result.core.shape == (2, 2)


def test_given_ranks() -> None:
    tensor = torch.randn(5, 4, 3, dtype=torch.float64)
    (result,) = truncated_hosvd([tensor], [(0, 2)], ranks=[(2, 3)])
    assert result.core.shape == (2, 4, 3)
    assert result.demanded == {}
    assert set(result.bases) == {0, 2}


@pytest.mark.parametrize("rank", [0, 6, -1])
def test_ranks_out_of_range(rank: int) -> None:
    with pytest.raises(RankError, match=rf"1\.\.5, got {rank}"):
        truncated_hosvd([torch.zeros(5, 4, 3)], [(0, 2)], ranks=[(rank, 3)])


@pytest.mark.parametrize("shape", [(1, 1), (3, 4), (2, 3, 4)])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("tolerance", [None, 0.0, 0.1])
def test_not_finite(shape: tuple[int, ...], value: float, tolerance: float | None) -> None:
    good, bad = torch.ones(shape), torch.ones(shape)
    bad.view(-1)[-1] = value
    modes = tuple(range(len(shape)))
    with pytest.raises(NonFiniteError, match=r"tensors \[1\] hold NaN or infinity"):
        truncated_hosvd([good, bad], [modes, modes], tolerance=tolerance)


@pytest.mark.parametrize("method", ["gram", "svd"])
@pytest.mark.parametrize("shape", [(4, 3), (4, 3, 2), (1, 1, 1)])
def test_zero_tensors_have_rank_one(shape: tuple[int, ...], method: str) -> None:
    modes = tuple(range(len(shape)))
    (result,) = truncated_hosvd([torch.zeros(shape)], [modes], tolerance=0.1, method=method)
    assert set(result.core.shape) == {1}
    assert result.error == 0
    assert all(
        orthonormality_defect(basis) <= 4 * 4 * torch.finfo(torch.float32).eps
        for basis in result.bases.values()
    )


@pytest.mark.parametrize("tolerance", [None, 1e-3])
def test_host_waits_once_for_any_number_of_tensors(host_syncs: list[str], tolerance: float | None) -> None:
    shapes = [(4, 3), (4, 3, 2), (4, 3), (5, 5, 5), (3, 1, 2), (2, 2, 2, 2)]
    tensors = [torch.randn(shape) for shape in shapes]
    modes = [tuple(range(len(shape))) for shape in shapes]
    host_syncs.clear()
    truncated_hosvd(tensors, modes, tolerance=tolerance)
    assert host_syncs == (["__bool__"] if tolerance is None else ["tolist"])


def test_many_tensors_equal_single_calls() -> None:
    shapes = [(4, 3), (4, 3, 2), (4, 3), (5, 5, 5), (4, 3, 2)]
    tensors = [decaying(shape, 0.5) for shape in shapes]
    modes = [tuple(range(len(shape))) for shape in shapes]
    together = truncated_hosvd(tensors, modes, tolerance=0.1)
    for tensor, mode, result in zip(tensors, modes, together, strict=True):
        (alone,) = truncated_hosvd([tensor], [mode], tolerance=0.1)
        assert alone.core.shape == result.core.shape
        assert (alone.core - result.core).abs().max() <= rounding(tensor) * torch.linalg.vector_norm(tensor)


@pytest.mark.parametrize("shape", [(6, 5), (7, 6, 3, 3), (80, 70, 3)])
@pytest.mark.parametrize("exponent", [-125, -80, -40, 40, 70, 100])
def test_float32_entries_whose_squares_leave_float32(shape: tuple[int, ...], exponent: int) -> None:
    torch.manual_seed(0)
    tensor, modes = decaying(shape, 0.7).float(), (0, 1)
    (plain,) = truncated_hosvd([tensor], [modes], tolerance=0.1)
    # A power of two, so that the entries keep every digit; its neighbour in the call is of ordinary scale.
    scaled, neighbour = truncated_hosvd([tensor * 2.0**exponent, tensor], [modes, modes], tolerance=0.1)
    norm = torch.linalg.vector_norm(tensor.double())
    for result, factor in ((scaled, 2.0**exponent), (neighbour, 1.0)):
        assert result.core.shape == plain.core.shape
        error = torch.linalg.vector_norm(multiplied_out(result).double() / factor - tensor.double())
        assert error <= (0.1 + 1e-5) * norm
        for basis in result.bases.values():
            assert orthonormality_defect(basis) <= 1e-5
