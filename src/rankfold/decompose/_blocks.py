"""Passes over a sharded tensor: every worker adds up what its blocks give, and the sums go to all.

Axes: n_i dimensions.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rankfold._collectives import Workers
from rankfold._errors import NonFiniteError
from rankfold.decompose._sharded import Sharded
from rankfold.decompose._together import gathered, together

__all__ = ["Blocks", "Extent", "extent_of"]


@dataclass(frozen=True, slots=True)
class Blocks:
    """A sharded tensor as solvers see it: in the dtype, scale and order of modes that they want.

    Arguments:
        source: the tensor in its files.
        dtype: of the blocks.
        scale: what the numbers are divided by.
        modes: the modes of the tensor in the order that the blocks have them.
    """

    source: Sharded
    dtype: torch.dtype
    scale: float
    modes: tuple[int, ...]

    @property
    def shape(self) -> tuple[int, ...]:
        """Dimensions, in the order of the blocks."""
        return tuple(self.source.shape[mode] for mode in self.modes)

    @property
    def cut(self) -> int:
        """Which mode of the blocks is cut."""
        return self.modes.index(self.source.mode)

    @property
    def workers(self) -> Workers:
        """Who reads."""
        return self.source.workers

    def slabs(self) -> Iterator[tuple[slice, Tensor]]:
        """This worker's slice in blocks that are whole in all modes but the cut one, and where along it they lie."""
        sides = list(self.source.shape)
        sides[self.source.mode] = self.source.rows_at_once
        for box, block in self._read(sides):
            yield box[self.cut], block

    def tiles(self) -> Iterator[tuple[tuple[slice, ...], Tensor]]:
        """This worker's slice, block by block, each with the place of its side in each mode."""
        return self._read(self.source.tile)

    def _read(self, sides: Sequence[int]) -> Iterator[tuple[tuple[slice, ...], Tensor]]:
        for box in self.source.boxes(sides):
            block = self.source.read(box, self.dtype).permute(self.modes).contiguous()
            yield (
                tuple(box[mode] for mode in self.modes),
                block if self.scale == 1 else block.div_(self.scale),
            )

    def summed(self, known: Sequence[Tensor], work: Callable[[], list[Tensor]]) -> list[Tensor]:
        """Sums over all workers of what each of them finds in its blocks.

        Arguments:
            known: what the work depends on, which must have the same bits everywhere.
            work: one pass, without collectives; gives tensors of the same shapes on all workers.

        Raises:
            DataError: the files have changed, on any worker.
            OptionError: the workers have come to different matrices.
        """
        found = together(self.workers, work, known)
        self.workers.add_(found)
        return found


@dataclass(frozen=True, slots=True)
class Extent:
    """The size of the numbers of a tensor.

    Arguments:
        largest: the largest absolute value.
        relative: Frobenius norm by the largest absolute value, so that it is in range whatever they are.
    """

    largest: float
    relative: float

    @property
    def norm(self) -> float:
        """Frobenius norm; infinite where it is out of range."""
        return self.largest * self.relative


def extent_of(where: str, source: Sharded) -> Extent:
    """Read a tensor once, and refuse what is no number.

    Arguments:
        where: the caller's name, for the message.
        source: the tensor.

    Raises:
        NonFiniteError: NaN or infinity, with file and position, on any worker.
        DataError: see :meth:`Blocks.summed`.
    """

    def look() -> tuple[float, float]:
        largest, squares = 0.0, 0.0
        for box in source.boxes(source.tile):
            block = source.read(box, torch.float64)
            bound = float(torch.linalg.vector_norm(block, torch.inf))
            if not bound < torch.inf:
                raise _not_finite(where, source, box, block)
            if bound == 0:
                continue
            part = float(torch.linalg.vector_norm(block.div_(bound))) ** 2
            largest, squares = (
                (bound, squares * (largest / bound) ** 2 + part)
                if bound > largest
                else (largest, squares + part * (bound / largest) ** 2)
            )
        return largest, squares

    table = gathered(source.workers, *together(source.workers, look))
    overall = float(table[:, 0].max())
    shares = table[:, 0] / overall if overall else table[:, 0]
    return Extent(overall, float((table[:, 1] * shares.square()).sum()) ** 0.5)


def _not_finite(where: str, source: Sharded, box: Sequence[slice], block: Tensor) -> NonFiniteError:
    inside = tuple(int(index) for index in (~block.isfinite()).nonzero()[0])
    value = float(block[inside])
    position = tuple(side.start + index for side, index in zip(box, inside, strict=True))
    return NonFiniteError(
        f"{where}: the entry {position} in {source.place(position)} is {value}; allowed are finite numbers, because a "
        "sharded tensor takes no mask; replace such entries."
    )
