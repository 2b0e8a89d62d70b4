"""Small problems with known answers, in float64, and the oracles that the integrators are checked against."""

import torch
from torch import Tensor

from rankfold.formats import Tucker
from rankfold.linalg import mode_product, unfold


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_tensor(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(*shape, generator=generator(seed), dtype=torch.float64).to(dtype)


def random_tucker(
    shape: tuple[int, ...], ranks: tuple[int, ...], seed: int = 0, rotate: bool = True
) -> Tucker:
    """Orthonormal factors in every mode, random core."""
    core = random_tensor(*ranks, seed=seed)
    factors = tuple(
        torch.linalg.qr(random_tensor(n, r, seed=seed + 1 + mode)).Q
        for mode, (n, r) in enumerate(zip(shape, ranks, strict=True))
    )
    tucker = Tucker(core, factors)
    return tucker.rotate() if rotate else tucker


def core_gradient(tucker: Tucker, gradient: Tensor) -> Tensor:
    """G x_i U_iᵀ."""
    for mode, factor in enumerate(tucker.factors):
        if factor is not None:
            gradient = mode_product(gradient, factor.mT, mode)
    return gradient


def projector(basis: Tensor) -> Tensor:
    q = torch.linalg.qr(basis).Q
    return q @ q.mT


def tangent_projection(tucker: Tucker, gradient: Tensor) -> Tensor:
    """P_T(W) G: the core part, and for each mode (I - P_i) Mat_i(G) projected on the row space of Mat_i(W)."""
    result = Tucker(core_gradient(tucker, gradient), tucker.factors).to_dense()
    dense = tucker.to_dense()
    for mode, factor in enumerate(tucker.factors):
        assert factor is not None
        rows = torch.linalg.qr(unfold(dense, mode).mT @ factor).Q
        outside = unfold(gradient, mode) - factor @ (factor.mT @ unfold(gradient, mode))
        part = (outside @ rows) @ rows.mT
        rest = [n for m, n in enumerate(dense.shape) if m != mode]
        result = result + part.reshape(dense.shape[mode], *rest).movedim(0, mode)
    return result


def relative(a: Tensor, b: Tensor) -> float:
    return float((a - b).detach().norm() / b.detach().norm())
