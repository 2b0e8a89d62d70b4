"""The relative error of an orthogonal projection, to all digits and without a second tensor.

Axes: n_i dimensions, r_i ranks.
"""

from collections.abc import Callable, Iterable, Sequence

import torch
from torch import Tensor

from rankfold.decompose._hooi import squared_norm
from rankfold.linalg import mode_project

__all__ = ["projection_error", "residual_blocks", "rows_at_once"]

# By Pythagoras errors are known to about sqrt(eps) of the norm, 1.5e-8 in float64 and 3e-4 in float32; below this
# they are summed up instead.
_SMALL = {torch.float64: 1e-6, torch.float32: 1e-2}
# Choice of this library: entries of the model that exist at once.
_ENTRIES = 1 << 20


def projection_error(
    total: float,
    kept: Tensor,
    residuals: Callable[[], Iterable[Tensor]],
    dtype: torch.dtype | None = None,
) -> float:
    """``||x - Px|| / ||x||`` of an orthogonal projection P.

    Arguments:
        total: ``||x||²``.
        kept: any tensor with the norm of ``Px``.
        residuals: gives ``x - Px`` block by block; called only where the norms do not tell the error.
        dtype: of x where that of ``kept`` is another.
    """
    error = max(1 - squared_norm(kept) / total, 0.0) ** 0.5
    if error > _SMALL[dtype or kept.dtype]:
        return error
    return (sum(squared_norm(block) for block in residuals()) / total) ** 0.5


def rows_at_once(tensor: Tensor) -> int:
    """How many slices of the first mode make a block."""
    return max(_ENTRIES // tensor[0].numel(), 1)


def residual_blocks(tensor: Tensor, core: Tensor, bases: Sequence[Tensor]) -> Iterable[Tensor]:
    """``x - core x_i U_i`` in blocks of slices of the first mode."""
    for mode in range(1, core.ndim):
        core = mode_project(core, bases[mode], mode)
    rows = rows_at_once(tensor)
    for part, basis in zip(tensor.split(rows), bases[0].split(rows), strict=True):
        yield part - mode_project(core, basis, 0)
