"""From what the user gives to data a solver can work on."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import torch
from torch import Tensor

from rankfold._errors import NonFiniteError, OptionError, RankError, ShapeError
from rankfold.decompose._block_input import read_blocks
from rankfold.decompose._block_memory import check_block_memory
from rankfold.decompose._check import Mask, checked_mask, checked_tensor
from rankfold.decompose._complete import CompleteData
from rankfold.decompose._data import Data
from rankfold.decompose._masked import MaskedData
from rankfold.decompose._memory import check_memory, required_bytes
from rankfold.decompose._sharded import Sharded
from rankfold.decompose._sparse import SparseData

__all__ = ["Input", "read_input"]

# Below so many bytes nobody runs out of memory, and asking the system costs more than it is worth.
_LARGE = 2**28
# Choice of this library: so many float32 entries are worth the precision of float64.
_PRECISE_ENTRIES = 2**22
# Weight of the gaps: too small to be seen in the fit, enough to keep a model from running away where nothing was
# observed. Choice of this library.
_SHRINKAGE = 1e-12
# Choice of this library: the partial products must shrink by so much to be worth a copy of the tensor.
_REORDER = 1.5
# Norms outside of this range endanger squares and products in float32; choice of this library.
_SAFE = (1e-12, 1e12)
# Between these the squares of a norm neither vanish nor overflow in float64.
_TINY, _HUGE = 1e-140, 1e140


@dataclass(frozen=True, slots=True)
class Input:
    """Checked data.

    Arguments:
        data: what solvers see.
        like: an empty tensor with the dtype and device of the result.
        scale: what the data were divided by.
        modes: the modes of the tensor in the order that the data have them.
    """

    data: Data
    like: Tensor
    scale: float
    modes: tuple[int, ...]

    def ordered(self, factors: Sequence[Tensor]) -> list[Tensor]:
        """Factors of the tensor in the order of the data."""
        return [factors[mode] for mode in self.modes]

    def restored(self, factors: Sequence[Tensor]) -> list[Tensor]:
        """Factors of the data in the order of the tensor."""
        return [factors[self.modes.index(mode)] for mode in range(len(factors))]


def read_input(
    x: Any, mask: Mask, *, precise: bool, unit_norm: bool, rank: int | None, compressed: bool = True
) -> Input:
    """Check a tensor and a mask, and choose the form of the data.

    Arguments:
        x: as for ``cp``.
        mask: as for ``cp``.
        precise: work in float64 where the data are small enough.
        unit_norm: scale the data to norm 1.
        rank: for the estimate of memory, None where it is to be found.
        compressed: for the same, whether a tensor in files is looked at in coordinates of its leading singular vectors.

    Returns:
        The data; the input itself is not changed.

    Raises:
        ShapeError, NonFiniteError, RankError, OptionError: see ``cp``.
    """
    if isinstance(x, Sharded):
        return _read_sharded(x, mask, unit_norm=unit_norm, rank=rank, compressed=compressed)
    tensor = checked_tensor("cp", x)
    if rank is not None:
        checked_rank(rank, tensor.shape)
    if tensor.layout != torch.strided:
        if mask is not None:
            raise OptionError(
                "cp: a sparse tensor takes no mask, because entries that are not listed count as zeros; pass a dense "
                "tensor with a mask to leave entries out."
            )
        data = SparseData(tensor)
        needed = required_bytes(data.shape, data.dtype, ranks=rank, stored=data.values.numel())
        if needed > _LARGE:
            what = f"a sparse tensor of shape {data.shape} with {data.values.numel()} entries"
            check_memory(
                "cp", what, needed, data.device, "ask for fewer components, or pass a part of this tensor"
            )
        scale = _scale(data.values, unit_norm)
        values = data.values / scale
        scaled = torch.sparse_coo_tensor(data.indices, values, data.shape, check_invariants=False)
        return Input(SparseData(scaled.coalesce()), values[:0], scale, tuple(range(tensor.ndim)))
    needed = required_bytes(tensor.shape, tensor.dtype, ranks=rank, masked=mask is not None)
    if needed > _LARGE:
        what = f"a dense tensor of shape {tuple(tensor.shape)}"
        check_memory("cp", what, needed, tensor.device, "pass a sparse tensor, or a part of this one")
    tensor, observed = checked_mask("cp", tensor, mask)
    like = tensor.flatten()[:0] if tensor.is_contiguous() else tensor.new_empty(0)
    scale = _scale(tensor, unit_norm)
    if precise and tensor.numel() <= _PRECISE_ENTRIES:
        tensor = tensor.double()
    if scale != 1:
        tensor = tensor / scale
    modes = _mode_order(tuple(tensor.shape))
    tensor = tensor.permute(modes)
    data = (
        CompleteData(tensor) if observed is None else MaskedData(tensor, observed.permute(modes), _SHRINKAGE)
    )
    return Input(data, like, scale, modes)


def _read_sharded(x: Sharded, mask: Mask, *, unit_norm: bool, rank: int | None, compressed: bool) -> Input:
    if mask is not None:
        raise OptionError(
            "cp: a sharded tensor takes no mask, because all its entries count; pass a tensor that fits into memory."
        )
    if rank is not None:
        checked_rank(rank, x.shape)
    modes = _mode_order(x.shape)
    double = prod(x.shape) <= _PRECISE_ENTRIES
    check_block_memory("cp", x, ranks=rank, compressed=compressed)
    data, scale = read_blocks(x, modes, double=double, unit_norm=unit_norm, safe=_SAFE)
    return Input(data, torch.empty(0, dtype=x.dtype), scale, modes)


def checked_rank(rank: object, shape: tuple[int, ...]) -> int:
    """A number of components that a tensor of this shape can have.

    Raises:
        OptionError: not a whole number.
        RankError: below 1, or above the largest rank of any tensor of this shape.
    """
    if isinstance(rank, bool) or not isinstance(rank, int):
        raise OptionError(f"cp: rank must be a whole number or None, got {rank!r}; pass one of these.")
    most = prod(shape) // max(shape)
    if not 1 <= rank <= most:
        raise RankError(
            f"cp: rank must lie in 1..{most} for shape {tuple(shape)}, because no such tensor has a larger one; got "
            f"{rank}, lower it or pass None to find it."
        )
    return rank


def _mode_order(shape: tuple[int, ...]) -> tuple[int, ...]:
    """The two largest modes outside, if that makes the partial products of a sweep much smaller."""
    modes = tuple(range(len(shape)))
    last, first, *rest = sorted(modes, key=lambda mode: shape[mode], reverse=True)
    now, then = (1 / shape[a] + 1 / shape[b] for a, b in ((0, -1), (first, last)))
    return (first, *sorted(rest), last) if now > _REORDER * then else modes


def _scale(values: Tensor, unit_norm: bool) -> float:
    """What to divide by: 1 wherever the data can stay as they are."""
    norm = float(torch.linalg.vector_norm(values, dtype=torch.float64))
    if not unit_norm and _SAFE[0] < norm < _SAFE[1]:
        return 1.0
    if not _TINY < norm < _HUGE:
        # The squares have left the range of float64, or all entries are zero.
        largest = float(values.abs().max())
        if largest == 0:
            raise ShapeError(
                "cp: all entries are zero; there are no components to find, pass another tensor."
            )
        norm = largest * float(torch.linalg.vector_norm(values / largest, dtype=torch.float64))
    if norm > torch.finfo(values.dtype).max:
        raise NonFiniteError(
            f"cp: the norm of the tensor, and with it the weights of components, are beyond {values.dtype}; divide it "
            "by some number first."
        )
    return norm
