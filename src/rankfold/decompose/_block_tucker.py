"""Tucker decomposition of a tensor that is read block by block, by one process or by many.

Axes: n_i dimensions, r_i ranks. What goes from worker to worker are Gram matrices ``(n_i, n_i)`` and, for each mode,
the tensor in the bases of all others, ``(n_i, prod r)``.
"""

from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor

from rankfold._errors import OptionError
from rankfold.decompose._block_hosvd import block_hosvd, projected
from rankfold.decompose._block_memory import check_block_memory
from rankfold.decompose._blocks import Blocks, extent_of
from rankfold.decompose._hooi import hooi, squared_norm
from rankfold.decompose._recorder import Callback, Recorder
from rankfold.decompose._result import Decomposition
from rankfold.decompose._sharded import Sharded
from rankfold.decompose._together import agree_on
from rankfold.decompose._tucker_bases import leading_basis, mode_order
from rankfold.decompose._tucker_error import projection_error
from rankfold.decompose._tucker_options import checked_amount, checked_method
from rankfold.decompose._tucker_scale import in_range
from rankfold.formats import Tucker
from rankfold.formats._shapes import checked_ranks, feasible_ranks
from rankfold.linalg import mode_project

__all__ = ["block_tucker"]


def block_tucker(
    source: Sharded,
    ranks: int | Sequence[int] | None,
    *,
    tolerance: float | None,
    energy: float | None,
    mask: Any,
    nonnegative: bool,
    method: str,
    max_iterations: int,
    callback: Callback | None,
) -> Decomposition:
    """:func:`rankfold.tucker` of a sharded tensor; arguments and errors are those of that function."""
    where, workers = "tucker", source.workers
    agree_on(
        workers,
        repr((ranks, tolerance, energy, mask is None, nonnegative, method, max_iterations)),
        "tucker: the workers were called with different arguments; call it alike on all of them.",
    )
    checked_amount(where, {"ranks": ranks, "tolerance": tolerance, "energy": energy})
    if energy is not None:
        tolerance = (1 - energy) ** 0.5
    _check_supported(mask, nonnegative, method)
    checked_method(where, method, max_iterations, masked=False, nonnegative=False, ranked=ranks is not None)
    shape, modes = source.shape, range(len(source.shape))
    sizes = None if ranks is None else feasible_ranks(checked_ranks(where, ranks, shape, modes), modes)
    check_block_memory(where, source, format="tucker", ranks=sizes)
    recorder = Recorder(callback, workers)
    extent = extent_of(where, source)
    if extent.largest == 0:
        return _zero(source, sizes or (1,) * len(shape), recorder)
    scale = 1.0 if in_range(extent.norm) else extent.largest
    blocks = Blocks(source, source.dtype, scale, tuple(modes))
    norm = extent.norm if scale == 1 else extent.relative
    order = mode_order(shape, sizes) if sizes else sorted(modes, key=lambda mode: shape[mode])
    order = [mode for mode in order if mode != source.mode] + [source.mode]
    found = block_hosvd(
        blocks,
        tuple(order),
        norm,
        tolerance=None if sizes else tolerance,
        ranks=tuple(sizes[mode] for mode in order) if sizes else None,
    )
    core, bases, name = found.core, [found.bases[mode] for mode in modes], "st_hosvd"
    total = norm**2
    stop = recorder.note(name, max(1 - squared_norm(core) / total, 0.0) ** 0.5, max(core.shape))
    if not stop and (method == "hooi" or (method == "auto" and sizes)):
        name = "hooi"
        core = hooi(
            partial(_update, blocks), core, bases, order, recorder, max_iterations, total, blocks.dtype
        )
    error = projection_error(total, core, partial(_residual, blocks, core, bases), blocks.dtype)
    result = Tucker(core * scale, tuple(bases)).rotate().to(dtype=source.dtype)
    return Decomposition(result, error, name, tuple(recorder.points))


def _check_supported(mask: Any, nonnegative: bool, method: str) -> None:
    refused = {
        "a mask": mask is not None,
        "nonnegative=True": nonnegative,
        "method='randomized'": method == "randomized",
    }
    for what, asked in refused.items():
        if asked:
            raise OptionError(
                f"tucker: a sharded tensor does not take {what}; leave it out, or pass a tensor that fits into memory."
            )


def _update(blocks: Blocks, bases: list[Tensor], half: Sequence[int], rest: Sequence[int]) -> Tensor:
    """:data:`~rankfold.decompose._hooi.Update` with one pass over the tensor for each mode."""
    del rest
    core = bases[0]
    for mode in half:
        part = projected(blocks, {other: basis for other, basis in enumerate(bases) if other != mode})
        if bases[mode].shape[0] > bases[mode].shape[1]:
            bases[mode] = leading_basis(part, mode, bases[mode].shape[1])
        core = mode_project(part, bases[mode].mT, mode)
    return core


def _residual(blocks: Blocks, core: Tensor, bases: Sequence[Tensor]) -> Iterable[Tensor]:
    """One number with the norm of ``x - core x_i U_i``, added up block by block."""
    for mode, basis in enumerate(bases):
        if mode != blocks.cut:
            core = mode_project(core, basis, mode)

    def work() -> list[Tensor]:
        squares = torch.zeros(1, dtype=torch.float64)
        for rows, block in blocks.slabs():
            model = mode_project(core, bases[blocks.cut][rows], blocks.cut)
            squares += squared_norm(block - model)
        return [squares]

    return [blocks.summed([core, *bases], work)[0].sqrt()]


def _zero(source: Sharded, ranks: tuple[int, ...], recorder: Recorder) -> Decomposition:
    factors = tuple(
        torch.eye(size, rank, dtype=source.dtype) for size, rank in zip(source.shape, ranks, strict=True)
    )
    tensor = Tucker(torch.zeros(ranks, dtype=source.dtype), factors)
    return Decomposition(tensor, 0.0, "st_hosvd", tuple(recorder.points))
