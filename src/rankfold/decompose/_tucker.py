"""Tucker decomposition of dense tensors, with or without gaps and signs, in memory or in files."""

from collections.abc import Sequence
from functools import partial
from typing import Any, Literal

import torch
from torch import Tensor

from rankfold.decompose._block_tucker import block_tucker
from rankfold.decompose._check import Mask, checked_generator, checked_mask, checked_tensor
from rankfold.decompose._hooi import hooi, squared_norm, update_dense
from rankfold.decompose._masked_tucker import masked_tucker
from rankfold.decompose._nonnegative_tucker import nonnegative_tucker
from rankfold.decompose._recorder import Callback, Recorder
from rankfold.decompose._result import Decomposition
from rankfold.decompose._sharded import Sharded
from rankfold.decompose._tucker_bases import leading_basis, mode_order, randomized_basis, st_hosvd
from rankfold.decompose._tucker_error import projection_error, residual_blocks
from rankfold.decompose._tucker_options import checked_amount, checked_method
from rankfold.decompose._tucker_scale import scale_of
from rankfold.formats import Tucker
from rankfold.formats._shapes import checked_ranks, feasible_ranks
from rankfold.linalg import sequential_hosvd

__all__ = ["Method", "tucker"]

Method = Literal["auto", "st_hosvd", "hooi", "randomized"]


def tucker(
    x: Any,
    ranks: int | Sequence[int] | None = None,
    *,
    tolerance: float | None = None,
    energy: float | None = None,
    mask: Mask = None,
    nonnegative: bool = False,
    method: Method = "auto",
    generator: torch.Generator | int | None = None,
    max_iterations: int = 500,
    callback: Callback | None = None,
) -> Decomposition:
    """Write a tensor as a small core times one factor per mode.

    A tolerance or energy is met by a sequentially truncated HOSVD. Given ranks start from it and are improved by
    higher-order orthogonal iteration until a sweep lowers the squared error by less than 1e-5 of it.

    With gaps, Gauss-Newton steps fit the observed entries until one lowers the squared error by less than 0.1 %. The
    model is drawn to zero in the gaps as far as a tenth of the observed entries, held out at first, is predicted
    better for it; so take off what all entries share (a mean, or one per variable) before. With ``nonnegative``
    hierarchical alternating least squares runs until a sweep lowers the squared error by less than 1e-5 of it.

    Arguments:
        x: order 2 or more, floating point, a tensor or array, or a :class:`~rankfold.decompose.Sharded` tensor in
            files; it is not changed.
        ranks: one rank per mode, or one number for all; a rank above the product of the others is lowered to it, at
            no loss. One of ranks, tolerance and energy is given.
        tolerance: largest relative Frobenius error, ``0 <= tolerance < 1``, over all modes together.
        energy: share of the squared norm that is kept at least, ``0 < energy <= 1``; ``1 - tolerance ** 2``.
        mask: bool of the shape of x, True where an entry is observed, or ``'nan'`` for all that are not NaN. Needs
            ranks: more of them meet any tolerance on the observed entries, and say nothing about the others.
        nonnegative: keep core and factors >= 0; needs ranks. Factors then have unit columns, not orthonormal ones.
        method: ``'st_hosvd'`` (no iteration), ``'hooi'`` (with iteration, for any way to say the ranks),
            ``'randomized'`` (random range finder with one power step, then iteration; needs ranks), or ``'auto'``,
            which is ``'hooi'`` for ranks and ``'st_hosvd'`` otherwise. Without gaps and ``nonnegative`` only. The
            HOSVD of a sharded tensor takes the mode along which it is cut last.
        generator: of the CPU, or a seed, for all random choices; None is torch's own.
        max_iterations: largest number of sweeps or steps, with gaps at each of the weights that are tried.
        callback: called with a :class:`~rankfold.decompose.TracePoint` after each sweep or step; True ends the run.

    Returns:
        A :class:`~rankfold.decompose.Decomposition` whose tensor is a :class:`~rankfold.Tucker`, in HOSVD form unless
        nonnegative. A zero tensor has rank 1 where the ranks were not given.

    Raises:
        OptionError: not exactly one of ranks, tolerance and energy, one out of range, or options that exclude each
            other.
        RankError: a rank outside 1..n_i.
        ShapeError: not a real floating-point tensor of order 2 or more, a mask of another shape, an empty slice.
        NonFiniteError: NaN or infinity in an observed entry.

    Reference:
        Vannieuwenhoven, Vandebril and Meerbergen 2012, algorithm 1; De Lathauwer, De Moor and Vandewalle 2000, "On
        the best rank-1 and rank-(R1, ..., RN) approximation of higher-order tensors", algorithm 4.2; for gaps Heidel
        and Schulz 2018; for signs Phan and Cichocki 2011.

    Example:
        >>> import torch
        >>> grid = torch.linspace(0, 1, 20, dtype=torch.float64)
        >>> x = 1 / (1 + grid[:, None, None] + grid[:, None] + grid)
        >>> found = tucker(x, tolerance=1e-3)
        >>> found.tensor.ranks, found.relative_error <= 1e-3
        ((3, 3, 2), True)
    """
    where = "tucker"
    if isinstance(x, Sharded):
        return block_tucker(
            x,
            ranks,
            tolerance=tolerance,
            energy=energy,
            mask=mask,
            nonnegative=nonnegative,
            method=method,
            max_iterations=max_iterations,
            callback=callback,
        )
    tensor, observed = checked_mask(where, checked_tensor(where, x), mask)
    checked_amount(where, {"ranks": ranks, "tolerance": tolerance, "energy": energy})
    if energy is not None:
        tolerance = (1 - energy) ** 0.5
    source = checked_generator(where, generator)
    checked_method(
        where,
        method,
        max_iterations,
        masked=observed is not None,
        nonnegative=nonnegative,
        ranked=ranks is not None,
    )
    sizes = None
    if ranks is not None:
        given = checked_ranks(where, ranks, tensor.shape, range(tensor.ndim))
        sizes = feasible_ranks(given, range(tensor.ndim))
    recorder = Recorder(callback)
    scale = scale_of(tensor)
    if scale == 0:
        return _zero(tensor, sizes or (1,) * tensor.ndim, recorder)
    work = tensor if scale == 1 else tensor / scale
    if sizes is not None and nonnegative:
        core, factors, error = nonnegative_tucker(work, observed, sizes, source, recorder, max_iterations)
        result, name = Tucker(core * scale, tuple(factors)), "hals"
    elif sizes is not None and observed is not None:
        core, factors, error = masked_tucker(work, observed, sizes, source, recorder, max_iterations)
        result, name = Tucker(core * scale, tuple(factors)).rotate(), "gauss-newton"
    else:
        total = squared_norm(work)
        core, factors, name = _complete(
            work, total, sizes, tolerance, method, source, recorder, max_iterations
        )
        error = projection_error(total, core, lambda: residual_blocks(work, core, factors))
        result = Tucker(core * scale, tuple(factors)).rotate()
    return Decomposition(result, error, name, tuple(recorder.points))


def _complete(
    tensor: Tensor,
    total: float,
    ranks: tuple[int, ...] | None,
    tolerance: float | None,
    method: Method,
    generator: torch.Generator,
    recorder: Recorder,
    max_iterations: int,
) -> tuple[Tensor, list[Tensor], str]:
    """Core, orthonormal factors and the method by name, of a tensor without gaps."""
    if ranks is None:
        order = sorted(range(tensor.ndim), key=lambda mode: tensor.shape[mode])
        found = sequential_hosvd(tensor, tuple(order), tolerance=tolerance)
        core, bases = found.core.contiguous(), [found.bases[mode] for mode in range(tensor.ndim)]
    else:
        order = mode_order(tensor.shape, ranks)
        basis = randomized_basis(generator) if method == "randomized" else leading_basis
        core, bases = st_hosvd(tensor, ranks, order, basis)
    stop = recorder.note("st_hosvd", (max(1 - squared_norm(core) / total, 0.0)) ** 0.5, max(core.shape))
    if stop or method == "st_hosvd" or (method == "auto" and ranks is None):
        return core, bases, "st_hosvd"
    return (
        hooi(
            partial(update_dense, tensor), core, bases, order, recorder, max_iterations, total, tensor.dtype
        ),
        bases,
        "hooi" if method == "auto" else method,
    )


def _zero(tensor: Tensor, ranks: tuple[int, ...], recorder: Recorder) -> Decomposition:
    factors = tuple(
        torch.eye(size, rank, dtype=tensor.dtype, device=tensor.device)
        for size, rank in zip(tensor.shape, ranks, strict=True)
    )
    return Decomposition(Tucker(tensor.new_zeros(ranks), factors), 0.0, "st_hosvd", tuple(recorder.points))
