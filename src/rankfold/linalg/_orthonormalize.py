"""Orthonormal bases of column spaces.

Axes: ... batch, n rows, r columns, n >= r.
"""

from typing import Literal

import torch
from torch import Tensor

from rankfold._errors import OptionError, ShapeError
from rankfold.linalg._gemm import product
from rankfold.linalg._precision import matrix_dtype, spectrum_dtype

__all__ = ["orthonormality_defect", "orthonormalize", "polished"]


def orthonormality_defect(matrix: Tensor) -> Tensor:
    """Measure how far columns are from orthonormal: ``max |QᵀQ - I|``.

    Arguments:
        matrix: ``(..., n, r)``.

    Returns:
        ``(...)``, as float64, measured to the precision of the matrix; no host sync.

    Example:
        >>> import torch
        >>> float(orthonormality_defect(torch.eye(4, 2)))
        0.0
    """
    work = matrix.to(matrix_dtype(matrix))
    gram = product(work.mT, work)
    identity = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    return (gram - identity).abs().amax((-2, -1)).to(spectrum_dtype(matrix))


def orthonormalize(matrix: Tensor, *, method: Literal["householder", "cholesky"] = "householder") -> Tensor:
    """Orthonormal basis Q of the columns of a matrix, with ``QᵀA`` upper triangular, diagonal >= 0.

    Householder QR never fails and does not mind badly scaled columns. CholeskyQR2 (Yamamoto et al. 2015)
    is two triangular solves against a float64 Gram matrix; where the matrix is too ill-conditioned for it,
    Householder takes over. Fixing the signs makes the result a continuous function of the input.

    Arguments:
        matrix: ``(..., n, r)`` with ``n >= r``. Half precision is computed in float32 and cast back.
        method: ``'householder'`` or ``'cholesky'``.

    Returns:
        ``(..., n, r)`` with orthonormal columns. Columns that depend on earlier ones are replaced by
        some direction orthogonal to the rest.

    Raises:
        ShapeError: ``n < r``.
        OptionError: unknown method.

    Example:
        >>> import torch
        >>> q = orthonormalize(torch.tensor([[3.0], [4.0]]))
        >>> q.ravel().tolist()
        [0.6000000238418579, 0.800000011920929]
    """
    if matrix.ndim < 2 or matrix.shape[-2] < matrix.shape[-1]:
        raise ShapeError(
            f"orthonormalize: got shape {tuple(matrix.shape)}, allowed is (..., n, r) with n >= r; "
            "pass the tall side, or truncate the columns first."
        )
    work = matrix.to(matrix_dtype(matrix))
    if method == "householder":
        basis = _householder(work)
    elif method == "cholesky":
        basis = _cholesky_twice(work)
    else:
        raise OptionError(
            f"orthonormalize: method must be 'householder' or 'cholesky', got {method!r}; choose one of these."
        )
    return basis.to(matrix.dtype)


def _householder(matrix: Tensor) -> Tensor:
    basis, triangle = torch.linalg.qr(matrix)
    signs = torch.where(triangle.diagonal(dim1=-2, dim2=-1) < 0, -1.0, 1.0).to(matrix.dtype)
    return basis * signs.unsqueeze(-2)


def _cholesky_twice(matrix: Tensor) -> Tensor:
    # A float64 Gram matrix stays positive definite up to condition numbers of about 1e7; scaling the
    # columns to unit length first takes bad scaling out of the condition number.
    work = matrix.to(spectrum_dtype(matrix))
    length = torch.linalg.vector_norm(work, dim=-2, keepdim=True)
    basis = work / torch.where(length > 0, length, 1.0)
    failed = torch.zeros(matrix.shape[:-2], dtype=torch.bool, device=matrix.device)
    for _ in range(2):
        factor, info = torch.linalg.cholesky_ex(basis.mT @ basis)
        basis = torch.linalg.solve_triangular(factor.mT, basis, upper=True, left=False)
        failed = failed | (info != 0)
    result = basis.to(matrix.dtype)
    # n eps bounds the rounding of the products in QᵀQ; a few times that is as good as Householder.
    allowed = 10 * torch.finfo(matrix.dtype).eps * max(matrix.shape[-1], 1) ** 0.5
    failed = failed | ~(orthonormality_defect(result) <= allowed)
    if bool(failed.any()):  # the one host sync
        return torch.where(failed[..., None, None], _householder(matrix), result)
    return result


def polished(matrix: Tensor) -> Tensor:
    """One Newton-Schulz step towards the nearest orthonormal matrix, for columns that are nearly so.

    Arguments:
        matrix: ``(..., n, r)`` with a small defect d.

    Returns:
        ``(..., n, r)`` with a defect of about d squared, or rounding.
    """
    gram = product(matrix.mT, matrix)
    identity = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    return product(matrix, 1.5 * identity - 0.5 * gram)
