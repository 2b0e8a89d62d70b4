"""From any square matrix to an orthogonal one, differentiably: the ways of orthogonal over-parameterised training."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from rankfold._registry import Registry
from rankfold.linalg._gram_schmidt import gram_schmidt
from rankfold.linalg._orthonormalize import orthonormalize
from rankfold.linalg._polar import loewdin
from rankfold.linalg._square import require_regular, square

__all__ = ["ORTHOGONAL_MAPS", "OrthogonalMap", "cayley", "householder"]


def householder(matrix: Tensor) -> Tensor:
    """The factor Q of ``M = Q T``, T upper triangular, by d - 1 Householder reflections.

    The reflections leave the signs of the diagonal of T open; here they are all positive, as in
    :func:`rankfold.linalg.orthonormalize`. That makes Q a smooth function of M, and the identity of the identity. It
    makes the columns of M orthonormal one after the other, as :func:`rankfold.linalg.gram_schmidt` does the rows.

    Arguments:
        matrix: ``(..., d, d)``, not singular. Half precision is computed and returned in float32.

    Returns:
        ``(..., d, d)`` orthogonal; its determinant has the sign of that of the matrix. Differentiable.

    Raises:
        ShapeError: not square.
        NonFiniteError: NaN or infinity.
        RankError: a column that depends on those before it.

    Reference:
        Householder 1958, "Unitary Triangularization of a Nonsymmetric Matrix"; Liu et al. 2021, "Orthogonal
        Over-Parameterized Training".

    Example:
        >>> import torch
        >>> householder(torch.tensor([[2.0, 5.0], [0.0, -3.0]])).diagonal().tolist()
        [1.0, -1.0]
    """
    work = square(matrix, "householder")
    basis = orthonormalize(work)
    if work.numel():
        with torch.no_grad():
            unit = work / work.abs().amax(-2, keepdim=True).clamp(min=torch.finfo(work.dtype).tiny)
            length = torch.linalg.vector_norm(unit, dim=-2).clamp(min=1.0)
            shares = (basis * unit).sum(-2).abs() / length  # what QR leaves of each column
        require_regular(shares.amin(-1), work.shape[-1], work.dtype, "householder")
    return basis


def cayley(matrix: Tensor) -> Tensor:
    """Cayley's map ``R = (I + A) (I - A)⁻¹`` of the skew-symmetric ``A = triu(P, 1) - triu(P, 1)ᵀ``.

    Only the d (d - 1) / 2 entries of P above the diagonal count; zero gives the identity. An eigenvalue iλ of A
    becomes ``(1 + iλ) / (1 - iλ)`` of R: on the unit circle, never -1, whose distance is ``2 / sqrt(1 + λ²)``. The
    determinant is 1. Every such R belongs to one A.

    The sign and the scale differ in the literature: this is the form of Liu et al. (2021); ``torch.nn.utils.
    parametrizations.orthogonal`` puts A / 2 for A, and others put -A for A, which gives the transpose of R. So a P is
    not to be handed from one to another.

    Solved exactly, by LU with pivoting; the defect is about eps times the condition number of I - A, at most
    ``sqrt(1 + |A|²)``.

    Arguments:
        matrix: P, ``(..., d, d)``, any. Half precision is computed and returned in float32.

    Returns:
        ``(..., d, d)``, a rotation. Differentiable.

    Raises:
        ShapeError: not square.
        NonFiniteError: NaN or infinity.

    Reference:
        Cayley 1846, "Sur quelques propriétés des déterminants gauches"; Liu et al. 2021, "Orthogonal
        Over-Parameterized Training".

    Example:
        >>> import torch
        >>> cayley(torch.tensor([[7.0, 1.0], [7.0, 7.0]])).tolist()
        [[0.0, 1.0], [-1.0, 0.0]]
    """
    upper = square(matrix, "cayley").triu(1)
    skew = upper - upper.mT
    identity = torch.eye(skew.shape[-1], dtype=skew.dtype, device=skew.device)
    return torch.linalg.solve(identity - skew, identity + skew)  # the two factors commute


@dataclass(frozen=True, slots=True)
class OrthogonalMap:
    """One way to write an orthogonal matrix by a free one.

    Arguments:
        name: how it is chosen.
        build: ``(..., d, d)`` free -> ``(..., d, d)`` orthogonal.
        start: gives the free matrix that stands for the identity, from the identity.
        summary: one line.
        source: where it comes from.
    """

    name: str
    build: Callable[[Tensor], Tensor]
    start: Callable[[Tensor], Tensor]
    summary: str
    source: str


_SOURCE = "Liu et al. 2021, Orthogonal Over-Parameterized Training"

ORTHOGONAL_MAPS: Registry[OrthogonalMap] = Registry(
    "orthogonal map",
    OrthogonalMap(
        "cayley", cayley, torch.zeros_like, "rotations by a skew-symmetric matrix, one solve", _SOURCE
    ),
    OrthogonalMap("gram_schmidt", gram_schmidt, torch.clone, "rows orthonormalised in order", _SOURCE),
    OrthogonalMap(
        "householder", householder, torch.clone, "columns orthonormalised in order, by QR", _SOURCE
    ),
    OrthogonalMap(
        "loewdin", loewdin, torch.clone, "the nearest orthogonal matrix, by singular values", _SOURCE
    ),
    OrthogonalMap(
        "direct",
        torch.clone,
        torch.clone,
        "the matrix itself, kept orthogonal by its optimiser or near it by a penalty",
        _SOURCE,
    ),
)
