import pytest
import torch
from torch import Tensor

from rankfold import OptionError, ShapeError
from rankfold.linalg import orthonormality_defect, orthonormalize

METHODS = ("householder", "cholesky")
SHAPES = ((1, 1), (7, 1), (7, 3), (40, 40), (200, 12))

both_methods = pytest.mark.parametrize("method", METHODS)


def rounding(matrix: Tensor) -> float:
    # Householder QR of n x r is a product of r reflections, each with inner products of n terms.
    return 4 * sum(matrix.shape[-2:]) * torch.finfo(matrix.dtype).eps


def outside(basis: Tensor, matrix: Tensor) -> float:
    """Largest share of a column of the matrix that lies outside the span of the basis."""
    unit = matrix.double() / matrix.double().abs().amax(-2, keepdim=True)
    unit = unit / torch.linalg.vector_norm(unit, dim=-2, keepdim=True)
    basis = basis.double()
    return float(torch.linalg.vector_norm(unit - basis @ (basis.mT @ unit), dim=-2).amax())


@both_methods
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_orthonormal_basis_of_the_columns(shape: tuple[int, int], dtype: torch.dtype, method: str) -> None:
    matrix = torch.randn(shape, dtype=dtype)
    basis = orthonormalize(matrix, method=method)
    assert basis.dtype == dtype
    assert orthonormality_defect(basis) <= rounding(matrix)
    assert outside(basis, matrix) <= rounding(matrix) * shape[0]


@both_methods
@pytest.mark.parametrize("shape", SHAPES)
def test_coordinates_are_triangular_with_positive_diagonal(shape: tuple[int, int], method: str) -> None:
    matrix = torch.randn(shape, dtype=torch.float64)
    triangle = orthonormalize(matrix, method=method).mT @ matrix
    assert triangle.tril(-1).abs().max() <= rounding(matrix) * torch.linalg.matrix_norm(matrix)
    assert triangle.diagonal().min() > 0


@both_methods
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_badly_scaled_columns(dtype: torch.dtype, method: str) -> None:
    matrix = torch.randn(20, 7, dtype=dtype) * torch.logspace(30, -30, 7, dtype=dtype)
    matrix = matrix[:, torch.randperm(7)]
    basis = orthonormalize(matrix, method=method)
    assert orthonormality_defect(basis) <= rounding(matrix)
    assert outside(basis, matrix) <= rounding(matrix) * 20


@both_methods
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dependent_and_zero_columns_are_replaced(dtype: torch.dtype, method: str) -> None:
    column = torch.randn(9, 1, dtype=dtype)
    matrix = torch.cat([column, column, torch.zeros(9, 1, dtype=dtype), torch.randn(9, 1, dtype=dtype)], 1)
    basis = orthonormalize(matrix, method=method)
    assert orthonormality_defect(basis) <= rounding(matrix)
    assert outside(basis, matrix[:, [0, 1, 3]]) <= rounding(matrix) * 9


@both_methods
def test_zero_matrix(method: str) -> None:
    matrix = torch.zeros(6, 4, dtype=torch.float64)
    assert orthonormality_defect(orthonormalize(matrix, method=method)) <= rounding(matrix)


@both_methods
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype: torch.dtype, method: str) -> None:
    matrix = torch.randn(30, 5).to(dtype)
    basis = orthonormalize(matrix, method=method)
    assert basis.dtype == dtype
    # Rounding a unit column to half precision moves each inner product by at most eps.
    assert orthonormality_defect(basis) <= 1.5 * torch.finfo(dtype).eps
    assert outside(basis, matrix) <= 5 * torch.finfo(dtype).eps


@both_methods
def test_batch_equals_single_calls(method: str) -> None:
    batch = torch.randn(2, 3, 10, 4, dtype=torch.float64)
    batch[1, 1, :, 2] = batch[1, 1, :, 0]  # one that Cholesky cannot do
    together = orthonormalize(batch, method=method)
    for i in range(2):
        for j in range(3):
            alone = orthonormalize(batch[i, j], method=method)
            assert orthonormality_defect(together[i, j]) <= rounding(batch)
            kept = [0, 1, 3] if (i, j) == (1, 1) else [0, 1, 2, 3]
            # Column 2 of the deficient matrix is arbitrary; what it spans with the rest is not.
            assert outside(together[i, j], batch[i, j][:, kept]) <= rounding(batch) * 10
            assert outside(alone, batch[i, j][:, kept]) <= rounding(batch) * 10


@pytest.mark.parametrize("condition", [1e1, 1e4, 1e10, 1e15])
def test_cholesky_agrees_with_householder(condition: float) -> None:
    left, right = torch.randn(50, 6, dtype=torch.float64), torch.randn(6, 6, dtype=torch.float64)
    values = torch.logspace(0, -torch.tensor(condition).log10().item(), 6, dtype=torch.float64)
    matrix = orthonormalize(left) * values @ orthonormalize(right).mT
    one, two = (orthonormalize(matrix, method=method) for method in METHODS)
    assert orthonormality_defect(two) <= rounding(matrix)
    # Rounding of the matrix turns its weakest direction by condition * eps.
    assert torch.linalg.matrix_norm(one @ one.mT - two @ two.mT) <= rounding(matrix) * condition


def test_small_changes_make_small_changes() -> None:
    matrix = torch.randn(10, 3, dtype=torch.float64)
    moved = orthonormalize(matrix + 1e-9 * torch.randn(10, 3, dtype=torch.float64))
    inverse = 1 / float(torch.linalg.svdvals(matrix)[-1])
    # The factor Q of QR changes by at most about sqrt(2) |A^-1| |dA| (Stewart 1977), |dA| <= sqrt(30) * 4e-9.
    assert torch.linalg.matrix_norm(moved - orthonormalize(matrix)) <= 2**0.5 * inverse * 30**0.5 * 4e-9


@pytest.mark.parametrize("shape", [(2, 3), (4, 2, 3), (5,)])
def test_wide_matrices_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="n >= r"):
        orthonormalize(torch.zeros(shape))


def test_unknown_method() -> None:
    with pytest.raises(OptionError, match="'svd'"):
        orthonormalize(torch.eye(2), method="svd")


def test_defect_is_the_largest_deviation() -> None:
    assert orthonormality_defect(2 * torch.eye(4, 2)) == 3
    batch = torch.stack([torch.eye(3), torch.ones(3, 3)])
    assert orthonormality_defect(batch).tolist() == [0, 3]
    assert orthonormality_defect(torch.eye(3, dtype=torch.bfloat16)).dtype == torch.float64
