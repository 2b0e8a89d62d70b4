"""What a map to orthogonal matrices may be given."""

import torch
from torch import Tensor

from rankfold._errors import NonFiniteError, RankError, ShapeError
from rankfold.linalg._precision import matrix_dtype

__all__ = ["require_regular", "square"]


def square(matrix: Tensor, where: str) -> Tensor:
    """A matrix in the dtype that it is factorised in, half precision in float32; one host sync.

    Arguments:
        matrix: ``(..., d, d)``, real.
        where: name of the function, for the messages.

    Raises:
        ShapeError: not square, or not of a real floating-point dtype.
        NonFiniteError: NaN or infinity.
    """
    if matrix.ndim < 2 or matrix.shape[-1] != matrix.shape[-2] or not matrix.is_floating_point():
        raise ShapeError(
            f"{where}: got shape {tuple(matrix.shape)} of dtype {matrix.dtype}, allowed are real floating-point "
            "matrices (..., d, d); pass square ones."
        )
    if not bool(matrix.isfinite().all()):
        raise NonFiniteError(
            f"{where}: the matrix holds NaN or infinity; lower the learning rate, or mend it first."
        )
    return matrix.to(matrix_dtype(matrix))


def require_regular(smallest: Tensor, size: int, dtype: torch.dtype, where: str) -> None:
    """Raise where a matrix determines no orthogonal one; one host sync.

    Arguments:
        smallest: how far the matrix is from a singular one, relative to its own size, ``(...)``.
        size: d. Rounding alone gives a singular matrix a distance of about d eps.
        dtype: of the factorisation.
        where: name of the function, for the message.

    Raises:
        RankError: a singular matrix, to rounding.
    """
    if size and not bool((smallest > size * torch.finfo(dtype).eps).all()):
        raise RankError(
            f"{where}: the matrix is singular to rounding, so that no orthogonal matrix belongs to it; "
            "start from the identity, or use the Cayley map, which takes every matrix."
        )
