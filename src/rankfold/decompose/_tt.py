"""Tensor trains of dense tensors."""

from collections.abc import Iterable, Sequence
from typing import Any

from torch import Tensor

from rankfold.decompose._check import checked_mask, checked_tensor
from rankfold.decompose._hooi import squared_norm
from rankfold.decompose._result import Decomposition
from rankfold.decompose._tucker_error import projection_error, rows_at_once
from rankfold.decompose._tucker_options import checked_amount
from rankfold.decompose._tucker_scale import scale_of
from rankfold.formats import TT

__all__ = ["tt"]


def tt(x: Any, ranks: int | Sequence[int] | None = None, *, tolerance: float | None = None) -> Decomposition:
    """Write a tensor as a train of cores of order 3, one per mode, by TT-SVD.

    Arguments:
        x: order d >= 2, floating point, a tensor or array; it is not changed.
        ranks: the d - 1 ranks between neighbouring cores, or one number for all. Either ranks or tolerance is given.
        tolerance: largest relative Frobenius error, ``0 <= tolerance < 1``, over all bonds together.

    Returns:
        A :class:`~rankfold.decompose.Decomposition` whose tensor is a :class:`~rankfold.TT`; its error is at most
        ``sqrt(d - 1)`` times that of the best train of the same ranks. A zero tensor has rank 1.

    Raises:
        OptionError: not exactly one of ranks and tolerance, or a tolerance out of range.
        RankError: a rank outside ``1..min(n_1 ... n_k, n_{k+1} ... n_d)``.
        ShapeError: not a real floating-point tensor of order 2 or more.
        NonFiniteError: NaN or infinity.

    Reference:
        Oseledets 2011, "Tensor-train decomposition", algorithm 1.

    Example:
        >>> import torch
        >>> grid = torch.arange(8, dtype=torch.float64)
        >>> found = tt((grid[:, None, None] + grid[:, None] + grid).sin(), tolerance=1e-9)
        >>> found.tensor.ranks, found.relative_error < 1e-9
        ((2, 2), True)
    """
    where = "tt"
    tensor, _ = checked_mask(where, checked_tensor(where, x), None)
    checked_amount(where, {"ranks": ranks, "tolerance": tolerance})
    scale = scale_of(tensor)
    work = tensor if scale in (0, 1) else tensor / scale
    train = TT.from_dense(work, ranks=ranks, tolerance=tolerance)
    if scale == 0:
        return Decomposition(train, 0.0, "tt_svd")
    # All cores but the last are orthogonal, so that one has the norm of the train.
    error = projection_error(squared_norm(work), train.cores[-1], lambda: _residuals(work, train))
    return Decomposition(TT((*train.cores[:-1], train.cores[-1] * scale)), error, "tt_svd")


def _residuals(tensor: Tensor, train: TT) -> Iterable[Tensor]:
    rows = rows_at_once(tensor)
    for part, first in zip(tensor.split(rows), train.cores[0].split(rows, dim=1), strict=True):
        yield part - TT((first, *train.cores[1:])).to_dense()
