"""The orthogonal matrix nearest to a square one, by singular values or by products alone.

Axes: ... batch, d size.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from rankfold._errors import OptionError
from rankfold.linalg._precision import spectrum_dtype
from rankfold.linalg._square import require_regular, square

__all__ = ["loewdin", "newton_schulz"]


def loewdin(matrix: Tensor) -> Tensor:
    """Löwdin's orthogonalisation: the polar factor ``U Vᵀ`` of ``M = U S Vᵀ``.

    No orthogonal matrix is nearer to M in the Frobenius norm: ``<Q, M> = <UᵀQV, S>`` is at most the sum of S, because
    no diagonal entry of the orthogonal matrix UᵀQV is above 1.

    The gradient is written out, because that of the singular vectors divides by differences of singular values, which
    vanish at the identity. Differentiating M = Q H, with H = V S Vᵀ symmetric, gives
    ``Ω S + S Ω = E - Eᵀ`` for Ω = Uᵀ dQ V, E = Uᵀ dM V, so that ``Ω = (E - Eᵀ) / (s_i + s_j)``. This map from E to Ω is
    its own adjoint; a gradient G of Q gives M the gradient ``U [(UᵀGV - VᵀGᵀU) / (s_i + s_j)] Vᵀ``.

    Arguments:
        matrix: ``(..., d, d)``, not singular. Half precision is returned in float32; computed is in float64.

    Returns:
        ``(..., d, d)`` orthogonal; its determinant has the sign of that of the matrix. Differentiable once.

    Raises:
        ShapeError: not square.
        NonFiniteError: NaN or infinity.
        RankError: a singular matrix, to rounding.

    Reference:
        Löwdin 1950, "On the non-orthogonality problem"; Higham 2008, "Functions of Matrices", chapter 8.

    Example:
        >>> import torch
        >>> q = loewdin(torch.tensor([[0.0, 3.0], [-3.0, 0.0]]))
        >>> torch.allclose(q, torch.tensor([[0.0, 1.0], [-1.0, 0.0]]))
        True
    """
    result: Any = _Polar.apply(square(matrix, "loewdin"))
    return result


class _Polar(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, matrix: Tensor) -> Tensor:
        u, s, vh = (part.to(matrix.dtype) for part in _singular(matrix.to(spectrum_dtype(matrix))))
        if s.numel():
            ratio = s[..., -1] / torch.where(s[..., 0] > 0, s[..., 0], 1.0)
            require_regular(ratio, matrix.shape[-1], matrix.dtype, "loewdin")
        ctx.save_for_backward(u, s, vh)
        return u @ vh

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Any) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        u, s, vh = ctx.saved_tensors
        turned = u.mT @ gradients[0] @ vh.mT
        return u @ ((turned - turned.mT) / (s.unsqueeze(-1) + s.unsqueeze(-2))) @ vh


def _singular(matrix: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Singular vectors and values, also where LAPACK's divide and conquer stops at a harmless matrix.

    It was seen to, in float32 and near the identity, and not for the transpose.
    """
    try:
        u, s, vh = torch.linalg.svd(matrix)
    except torch.linalg.LinAlgError:  # pyright: ignore[reportPrivateImportUsage]
        v, s, uh = torch.linalg.svd(matrix.mT)
        u, vh = uh.mT, v.mT
    return u, s, vh


def newton_schulz(matrix: Tensor, iterations: int = 30) -> Tensor:
    """Come near the polar factor by products alone: ``X <- X (3 I - XᵀX) / 2``.

    Each step maps every singular value s to ``(3 s - s³) / 2`` and leaves the singular vectors. Values in (0, 1] rise
    towards 1, small ones by a factor of 1.5 a step, and near 1 the error squares: ``1 - s -> 3 (1 - s)² / 2``. So the
    matrix is first divided by a bound of its largest singular value, the root of the smaller one of the Frobenius
    norm and the largest row sum of ``|MᵀM|``. With 30 steps all values that are not below 1e-4 of that bound end at 1
    to rounding; what is smaller stays below 1, and the result is not orthogonal. Zero stays zero.

    Arguments:
        matrix: ``(..., d, d)``. Half precision is computed and returned in float32.
        iterations: steps, from 1.

    Returns:
        ``(..., d, d)``; unrolled, so that autograd differentiates it as often as wanted.

    Raises:
        ShapeError: not square.
        NonFiniteError: NaN or infinity.
        OptionError: iterations below 1.

    Reference:
        Higham 2008, "Functions of Matrices", section 8.3; Liu et al. 2021, "Orthogonal Over-Parameterized Training".

    Example:
        >>> import torch
        >>> newton_schulz(torch.tensor([[5.0]])).tolist()
        [[1.0]]
    """
    if isinstance(iterations, bool) or not isinstance(iterations, int) or iterations < 1:
        raise OptionError(
            f"newton_schulz: iterations must be a whole number from 1, got {iterations!r}; 30 is enough."
        )
    work = square(matrix, "newton_schulz")
    if not work.numel():
        return work
    largest = work.abs().amax((-2, -1), keepdim=True).detach()
    work = work / torch.where(largest > 0, largest, 1.0)  # so that no square overflows
    gram = work.mT @ work
    rows, whole = gram.abs().sum(-1).amax(-1), torch.linalg.vector_norm(gram, dim=(-2, -1))
    # The largest entry is 1 now, and so no bound is below it, except for zero.
    work = work / torch.minimum(rows, whole).clamp(min=1.0).sqrt()[..., None, None]
    for _ in range(iterations):
        work = 1.5 * work - 0.5 * work @ (work.mT @ work)
    return work
