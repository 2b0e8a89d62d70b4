"""From a sharded tensor to data that a solver of CP can work on."""

import torch

from rankfold._errors import NonFiniteError, ShapeError
from rankfold.decompose._block_data import BlockData
from rankfold.decompose._blocks import Blocks, extent_of
from rankfold.decompose._sharded import Sharded

__all__ = ["read_blocks"]


def read_blocks(
    source: Sharded,
    modes: tuple[int, ...],
    *,
    double: bool,
    unit_norm: bool,
    safe: tuple[float, float],
) -> tuple[BlockData, float]:
    """Read a sharded tensor once.

    Arguments:
        source: the tensor.
        modes: its modes in the order that the data are to have them.
        double: work in float64 whatever the files hold.
        unit_norm: scale the data to norm 1.
        safe: norms between which the data may stay as they are.

    Returns:
        The data, and what they were divided by.

    Raises:
        ShapeError: all entries are zero.
        NonFiniteError: NaN or infinity, or a norm beyond the dtype.
    """
    extent = extent_of("cp", source)
    if extent.largest == 0:
        raise ShapeError("cp: all entries are zero; there are no components to find, pass another tensor.")
    scale = extent.norm if unit_norm or not safe[0] < extent.norm < safe[1] else 1.0
    if scale > torch.finfo(source.dtype).max:
        raise NonFiniteError(
            f"cp: the norm of the tensor, and with it the weights of components, are beyond {source.dtype}; divide it "
            "by some number first."
        )
    dtype = torch.float64 if double else source.dtype
    return BlockData(Blocks(source, dtype, scale, modes), extent.norm / scale), scale
