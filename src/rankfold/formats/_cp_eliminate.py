"""Which components of a CP tensor to drop, by the loss that remains once the weights of the others are refitted.

Axes: R components, S of them kept. A root is a matrix B with ``BᵀB = K``, the inner products of all pairs of
components; differences of weights w have the dense norm ``||B w||``.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["component_root", "eliminate"]

# Rows of a factor treated at once: bounds the memory by so many R x R matrices. A choice of this library.
_BLOCK = 16


def component_root(units: Sequence[Tensor]) -> Tensor:
    """Triangle of the QR factorisation of the components as columns, from those of the factors one by one.

    Unlike a root of K it has all digits, so that errors far below sqrt(eps) are seen.
    """
    root = torch.linalg.qr(units[0], mode="r").R
    for unit in units[1:]:
        total = root[:0]
        for rows in torch.linalg.qr(unit, mode="r").R.split(_BLOCK):
            products = (rows.unsqueeze(1) * root).flatten(0, 1)
            total = torch.linalg.qr(torch.cat([total, products]), mode="r").R
        root = total
    return root


def eliminate(
    root: Tensor, weights: Tensor, *, count: int, tolerance: float | None
) -> tuple[list[int], Tensor]:
    """Drop the cheapest component again and again.

    Arguments:
        root: B, ``(k, R)``, columns of norm 1.
        weights: ``(R,)``.
        count: number of components to keep at least.
        tolerance: end before the error exceeds this part of the norm; None goes on to ``count``.

    Returns:
        The indices kept and their weights.

    Reference:
        Hassibi and Stork 1993, "Second order derivatives for network pruning: Optimal Brain Surgeon", equation 5:
        dropping r costs ``w_r² / (K⁻¹)_rr``.
    """
    target = root @ weights
    kept, fitted = list(range(len(weights))), weights
    inverse, coordinates, _ = _refit(root, target, weights, kept)
    while len(kept) > count:
        # Row r of the inverse is orthogonal to all components but r; w_r² / (K⁻¹)_rr is what lies along it.
        costs = (inverse @ coordinates).square() / inverse.square().sum(1)
        worst = int(costs.argmin())
        rest = kept[:worst] + kept[worst + 1 :]
        inverse, coordinates, refitted = _refit(root, target, weights, rest)
        error = torch.linalg.vector_norm(target - root[:, rest] @ refitted)
        if tolerance is not None and error > tolerance * torch.linalg.vector_norm(target):
            break
        kept, fitted = rest, refitted
    return kept, fitted


def _refit(root: Tensor, target: Tensor, weights: Tensor, kept: list[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Inverse triangle of the kept columns, the target in their basis, and their least-squares weights."""
    columns = root[:, kept]
    if columns.shape[0] < columns.shape[1]:
        columns = torch.nn.functional.pad(columns, (0, 0, 0, columns.shape[1] - columns.shape[0]))
        target = torch.nn.functional.pad(target, (0, columns.shape[0] - target.shape[0]))
    basis, triangle = torch.linalg.qr(columns)
    diagonal = triangle.diagonal()
    # Dependent components leave rounding on the diagonal; the floor keeps the inverse finite.
    floor = len(kept) * torch.finfo(triangle.dtype).eps
    diagonal.copy_(torch.where(diagonal.abs() < floor, floor, diagonal))
    identity = torch.eye(len(kept), dtype=triangle.dtype, device=triangle.device)
    inverse = torch.linalg.solve_triangular(triangle, identity, upper=True)
    # What the dropped ones leave, on top of the old weights: dependent components keep moderate weights.
    old = weights[kept]
    return inverse, basis.mT @ target, old + inverse @ (basis.mT @ (target - columns @ old))
