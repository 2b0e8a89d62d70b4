"""From the gradients of the factors to those of the K-steps.

Axes: n rows of a factor, r its rank, N product of the other ranks. With Mat_i(C)ᵀ = Q_i S_iᵀ (Q_i: N x r,
S_i: r x r) and K_i = U_i S_i, autograd's dL/dU_i is dL/dK_i S_iᵀ (TDLRT, theorem 1): all K-gradients come from
one ordinary backward pass.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from rankfold.formats import Tucker
from rankfold.linalg import map_same_shape, spectrum_dtype, unfold
from rankfold.training.integrators._types import Gradients

__all__ = ["BasisGradient", "basis_gradients"]


# Choice of this library: for matrices this small the cost of the call hides that of float64.
_SMALL = 48


class BasisGradient(NamedTuple):
    """Of one mode: dL/dK (n, r), Q (N, r) and S (r, r), in float64 where that is free."""

    gradient: Tensor
    orthonormal: Tensor
    scale: Tensor


def basis_gradients(
    tuckers: Sequence[Tucker], gradients: Sequence[Gradients]
) -> list[dict[int, BasisGradient]]:
    """K-gradients of every factorised mode of many tensors.

    Where the core is in HOSVD form S_i is diagonal to rounding and the division loses no digit, however small
    the singular values; with a generic ill-conditioned core the small directions drown in rounding of dL/dU_i.

    Arguments:
        tuckers: tensors with orthonormal factors.
        gradients: their gradients.

    Returns:
        For each tensor and mode a :class:`BasisGradient`. Rows of Mat_i(C) that vanish or depend on others get a
        zero gradient.
    """
    places = [(index, mode) for index, tucker in enumerate(tuckers) for mode in tucker.modes]
    unfoldings = [unfold(tuckers[index].core, mode) for index, mode in places]
    factor_gradients = [gradients[index].factors[mode] for index, mode in places]
    found: list[dict[int, BasisGradient]] = [{} for _ in tuckers]
    if places:
        results = map_same_shape(_solve, unfoldings, factor_gradients)
        for (index, mode), result in zip(places, results, strict=True):
            found[index][mode] = BasisGradient(*result)
    return found


def _solve(unfolding: Tensor, factor_gradient: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    # QR errs in each column relative to that column's own length, so that a large graded core loses nothing in its own
    # precision either; for a small one float64 takes the same time.
    small = unfolding.shape[-2] < _SMALL or unfolding.dtype.itemsize < 4
    dtype = spectrum_dtype(unfolding) if small else unfolding.dtype
    rows, columns = unfolding.shape[-2:]
    tall = unfolding.mT.to(dtype)
    if columns < rows:  # more rows than the unfolding can have rank: the last ones are dependent
        tall = torch.nn.functional.pad(tall, (0, 0, 0, rows - columns))
    orthonormal, triangle = torch.linalg.qr(tall)
    diagonal = triangle.diagonal(dim1=-2, dim2=-1).abs()
    length = torch.linalg.vector_norm(tall, dim=-2)
    # What QR leaves of a dependent column is rounding of the core's own dtype.
    dependent = diagonal <= torch.finfo(unfolding.dtype).eps * columns**0.5 * length
    identity = torch.eye(rows, dtype=dtype, device=tall.device)
    either = dependent.unsqueeze(-1) | dependent.unsqueeze(-2)
    triangle = torch.where(either, identity, triangle)
    right = torch.where(dependent.unsqueeze(-2), 0.0, factor_gradient.to(dtype))
    gradient = torch.linalg.solve_triangular(triangle, right, upper=True, left=False)
    return gradient, orthonormal[..., :columns, :], triangle.mT
