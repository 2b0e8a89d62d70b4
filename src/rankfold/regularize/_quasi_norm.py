"""What gates amount to once they are balanced: a quasi-norm of singular values."""

import torch
from torch import Tensor

from rankfold.formats import Tucker
from rankfold.linalg import mode_inner, mode_products, spectrum_dtype

__all__ = ["quasi_norm"]

# Choice of this library. Below this share of the largest the penalty of a singular value is quadratic: its slope at
# zero would otherwise be infinite, and a step would throw small values from one side of zero to the other.
_FLOOR = 1e-2


def quasi_norm(value: Tucker, depth: int) -> Tensor:
    """``Σ σ^(2 / D)`` over the singular values of the unfoldings, the mean of the factorised modes; differentiable.

    For a matrix it is the Schatten quasi-norm of order 2/D, the least of ``(1/D) Σ_d ||M_d||²`` over all products
    ``M_1 ... M_D`` that are the matrix. It depends on the tensor, not on the bases it is written in.

    Arguments:
        value: any factors.
        depth: D.

    Returns:
        A scalar tensor.

    Reference:
        Shang, Liu, Cheng 2016, "Unified scalable equivalent formulations for Schatten quasi-norms", theorem 1.
    """
    core = value.core.to(spectrum_dtype(value.core))
    factors = {mode: f.to(core.dtype) for mode in value.modes if (f := value.factors[mode]) is not None}
    grams = {mode: factor.mT @ factor for mode, factor in factors.items()}
    parts = []
    for mode, gram in grams.items():
        others = {other: matrix for other, matrix in grams.items() if other != mode}
        inner = mode_inner(core, mode_products(core, others), mode)
        # Mat(W) Mat(W)ᵀ = U inner Uᵀ has the eigenvalues of Lᵀ inner L, where UᵀU = L Lᵀ.
        rounding = (
            torch.finfo(core.dtype).eps * gram.detach().diagonal().mean() + torch.finfo(core.dtype).tiny
        )
        root = torch.linalg.cholesky_ex(gram + torch.diag_embed(rounding.expand(len(gram)))).L
        squares = torch.linalg.eigvalsh(root.mT @ inner @ root).clamp_min(0)
        floor = _FLOOR**2 * squares.detach().amax() + torch.finfo(core.dtype).tiny
        parts.append(((squares + floor) ** (1 / depth) - floor ** (1 / depth)).sum())
    return torch.stack(parts).mean().to(value.dtype)
