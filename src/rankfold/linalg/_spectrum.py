"""Left singular vectors and singular values of unfoldings, by Gram matrix or by SVD.

Axes: ... batch, n rows of the mode, N columns, s = min(n, N).
"""

from typing import Literal

import torch
from torch import Tensor

from rankfold.linalg._orthonormalize import orthonormalize
from rankfold.linalg._precision import spectrum_dtype

__all__ = ["Method", "fixed_signs", "gram_singular", "left_singular", "method_for", "rank_floor"]

Method = Literal["gram", "svd"]

# A float64 Gram matrix resolves singular values down to sqrt(eps) = 1.5e-8 of the largest; two orders above
# that the squares are as good as an SVD.
_GRAM_TOLERANCE = 1e-6


def method_for(tolerance: float | None) -> Method:
    """The faster method that still resolves what the tolerance asks for; no tolerance asks for all digits."""
    return "gram" if tolerance is not None and tolerance >= _GRAM_TOLERANCE else "svd"


def rank_floor(tensor: Tensor) -> float:
    """Relative size below which a tail of singular values is rounding of the tensor's own dtype."""
    return 4 * torch.finfo(tensor.dtype).eps * max((*tensor.shape, 1)) ** 0.5


def fixed_signs(vectors: Tensor) -> Tensor:
    """Make the largest entry of every column positive, so that equal inputs give equal bases everywhere."""
    index = vectors.abs().argmax(-2, keepdim=True)
    signs = torch.where(vectors.gather(-2, index) < 0, -1.0, 1.0)
    return vectors * signs.to(vectors.dtype)


def gram_singular(gram: Tensor) -> tuple[Tensor, Tensor]:
    """Left singular vectors and singular values, largest first, from the Gram matrix ``(..., n, n)`` of the rows."""
    squares, vectors = torch.linalg.eigh(gram)
    return fixed_signs(vectors.flip(-1)), squares.clamp_min(0).sqrt().flip(-1)


def left_singular(matrix: Tensor, method: Method, *, square: bool = False) -> tuple[Tensor, Tensor]:
    """Left singular vectors and singular values, largest first, in float64.

    Arguments:
        matrix: ``(..., n, N)``.
        method: ``'gram'`` (eigenvectors of the smaller Gram matrix) or ``'svd'`` (QR, then SVD of the triangle).
        square: return all n vectors even where N < n, the last ones with singular value zero.

    Returns:
        Vectors ``(..., n, s)`` and values ``(..., s)``; with ``square`` ``(..., n, n)`` and ``(..., n)``.
    """
    work = matrix.to(spectrum_dtype(matrix))
    rows, columns = work.shape[-2:]
    if square and columns < rows:
        work = torch.nn.functional.pad(work, (0, rows - columns))
        columns = rows
    if rows <= columns:
        if method == "gram":
            return gram_singular(work @ work.mT)
        triangle = torch.linalg.qr(work.mT, mode="r").R
        vectors, values, _ = torch.linalg.svd(triangle.mT)
    elif method == "gram":
        squares, right = torch.linalg.eigh(work.mT @ work)
        values = squares.clamp_min(0).sqrt().flip(-1)
        # M V has orthogonal columns of length sigma; QR restores those too short to be orthogonal.
        vectors = orthonormalize(work @ right.flip(-1))
    else:
        basis, triangle = torch.linalg.qr(work)
        left, values, _ = torch.linalg.svd(triangle)
        vectors = basis @ left
    return fixed_signs(vectors), values
