"""Gram-Schmidt over the rows of a square matrix, and its gradient.

Axes: ... batch, i row, d size.
"""

from typing import Any

import torch
from torch import Tensor

from rankfold.linalg._square import require_regular, square

__all__ = ["gram_schmidt"]


def gram_schmidt(matrix: Tensor) -> Tensor:
    """Make the rows orthonormal one after the other: Q with ``M = L Q``, L lower triangular, diagonal > 0.

    Modified Gram-Schmidt, made twice: once leaves a defect of about eps times the condition number, twice one of
    about eps (Giraud, Langou and Rozložník 2005, "The loss of orthogonality in the Gram-Schmidt orthogonalization
    process"). The rows are scaled to length one first, which changes L alone.

    The gradient is written out, because unrolled operations would keep d matrices. With Ω = dQ Qᵀ, which is
    skew-symmetric, ``dM = dL Q + L dQ`` gives ``L⁻¹ dM Qᵀ = L⁻¹ dL + Ω``, whose first part is lower triangular: above
    the diagonal X = L⁻¹ dM Qᵀ is Ω. So a gradient G of Q gives ``<G, dQ> = <GQᵀ, Ω> = <triu(GQᵀ - QGᵀ, 1), X>`` and the
    gradient of M is ``L⁻ᵀ triu(GQᵀ - QGᵀ, 1) Q``.

    Arguments:
        matrix: ``(..., d, d)``, not singular. Half precision is computed and returned in float32.

    Returns:
        ``(..., d, d)`` orthogonal; its determinant has the sign of that of the matrix. Differentiable twice.

    Raises:
        ShapeError: not square.
        NonFiniteError: NaN or infinity.
        RankError: a row that depends on those before it.

    Reference:
        Liu et al. 2021, "Orthogonal Over-Parameterized Training".

    Example:
        >>> import torch
        >>> gram_schmidt(torch.tensor([[2.0, 0.0], [5.0, -3.0]])).tolist()
        [[1.0, 0.0], [0.0, -1.0]]
    """
    result: Any = _GramSchmidt.apply(square(matrix, "gram_schmidt"))
    return result


class _GramSchmidt(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> Tensor:
        largest = matrix.abs().amax(-1, keepdim=True) if matrix.numel() else matrix
        rows = matrix / torch.where(largest > 0, largest, 1.0)
        rows = rows / torch.linalg.vector_norm(rows, dim=-1, keepdim=True).clamp(min=1.0)
        lengths = _sweep(rows)
        if lengths:
            shortest = torch.stack(lengths, -1).amin(-1)
            require_regular(shortest, matrix.shape[-1], matrix.dtype, "gram_schmidt")
        _sweep(rows)
        ctx.save_for_backward(matrix, rows)
        return rows

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Tensor:
        matrix, rows = ctx.saved_tensors
        turned = gradients[0] @ rows.mT
        skew = (turned - turned.mT).triu(1)
        lower = (matrix @ rows.mT).tril()
        return torch.linalg.solve_triangular(lower.mT, skew, upper=True) @ rows


def _sweep(rows: Tensor) -> list[Tensor]:
    """Orthonormalise rows in place; what was left of the length of each, ``(...)``."""
    lengths = []
    for i in range(rows.shape[-2]):
        row, rest = rows[..., i, :], rows[..., i + 1 :, :]
        length = torch.linalg.vector_norm(row, dim=-1)
        lengths.append(length)
        row /= torch.where(length > 0, length, 1.0).unsqueeze(-1)
        rest -= (rest @ row.unsqueeze(-1)) * row.unsqueeze(-2)
    return lengths
