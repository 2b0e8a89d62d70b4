"""Memory that the decomposition of a sharded tensor takes on one worker, counted before it starts."""

from collections.abc import Sequence
from math import prod

import torch

from rankfold.decompose._block_data import PARTIAL_BLOCKS
from rankfold.decompose._memory import UNKNOWN_RANK, check_memory
from rankfold.decompose._sharded import Sharded
from rankfold.decompose._together import together

__all__ = ["check_block_memory", "required_block_bytes"]

_DOUBLE_BYTES = 8
# Blocks that exist at once: as read, in another order of modes, and the model or the projection of it, as
# tests/decompose/test_sharded_memory.py measures.
_BLOCKS = 3
# A Gram matrix, its sum, its eigenvectors and what the eigenvalue solver works in.
_GRAMS = 6
# Columns that the products of one mode convert at a time, and what the libraries work in.
_SCRATCH = 2**23
# Factors, right sides, gradients and trial points.
_FACTORS = 8


def required_block_bytes(
    source: Sharded, *, format: str = "cp", ranks: int | Sequence[int] | None = None, compressed: bool = True
) -> int:
    """Memory that one worker needs, roughly and rather too much than too little.

    Arguments:
        source: the tensor.
        format: ``'cp'`` or ``'tucker'``.
        ranks: components of CP, or multilinear ranks; None where they are to be found.
        compressed: whether CP looks for components in coordinates of leading singular vectors first.

    Returns:
        Bytes: some blocks, partial products, Gram matrices of the modes that are not cut, and what all workers hold.
        Pages of the files that the system keeps for later are not counted; it drops them when memory is short.
    """
    shape, mode = source.shape, source.mode
    rank = UNKNOWN_RANK if ranks is None else max([ranks] if isinstance(ranks, int) else ranks)
    block = prod(shape) // shape[mode] * source.rows_at_once * _DOUBLE_BYTES
    others = [size for other, size in enumerate(shape) if other != mode]
    kept = [min(rank, size) for size in others]
    # The tensor in the bases of all modes but the cut one, or but another one.
    matrix = (
        max(size * prod(min(rank, n) for n in shape) // min(rank, size) for size in shape) * _DOUBLE_BYTES
    )
    spectra = _GRAMS * max(others) ** 2 * _DOUBLE_BYTES + 2 * matrix
    if format == "tucker":
        return _SCRATCH + _BLOCKS * block + spectra + shape[mode] * prod(kept) * _DOUBLE_BYTES
    # The first product with a block leaves one mode out and has a component for each column.
    tile = prod(source.tile) * _DOUBLE_BYTES
    product = tile * rank // min(source.tile)
    factors = _FACTORS * rank * sum(shape) * _DOUBLE_BYTES
    passes = _BLOCKS * tile + 2 * product + 2 * PARTIAL_BLOCKS * source.block_bytes + factors
    return _SCRATCH + max(passes, _BLOCKS * block + spectra if compressed else 0)


def check_block_memory(
    where: str,
    source: Sharded,
    *,
    format: str = "cp",
    ranks: int | Sequence[int] | None = None,
    compressed: bool = True,
) -> None:
    """Refuse on all workers what does not fit on one of them.

    Raises:
        OptionError: less memory is free.
    """
    needed = required_block_bytes(source, format=format, ranks=ranks, compressed=compressed)
    what = (
        f"a sharded tensor of shape {source.shape} in blocks of {source.rows_at_once} of mode {source.mode}"
    )
    advice = "pass smaller block_bytes, a longer mode to cut, or lower ranks"
    together(source.workers, lambda: check_memory(where, what, needed, torch.device("cpu"), advice))
