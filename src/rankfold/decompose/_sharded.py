"""A tensor that stays in its files: several workers read a slice each, block by block."""

import os
from collections.abc import Iterator, Sequence
from itertools import product
from math import prod

import torch
import torch.distributed as dist
from torch import Tensor

from rankfold._checks import check_count
from rankfold._collectives import Workers, workers_of
from rankfold._errors import OptionError
from rankfold.decompose._joined_files import JoinedFiles, open_file, open_folder
from rankfold.decompose._together import agree_on, together

__all__ = ["BLOCK_BYTES", "Sharded"]

# Choice of this library: large beside the cost of a call, small beside the memory of any machine.
BLOCK_BYTES = 2**26
_DOUBLE_BYTES = 8
# Choice of this library: entries of the mode in a tile, about as many as there are components.
_ROWS = 32
Path = str | os.PathLike[str]


class Sharded:
    """A tensor in files, for :func:`rankfold.cp` and :func:`rankfold.tucker`: it is never in memory as a whole.

    With ``torch.distributed`` each worker reads its own slice along one mode, as ``torch.tensor_split`` cuts it; all
    workers make the object and call the function alike, and all get the same result. On one process the slice is the
    whole tensor. Made by :meth:`from_npy` or :meth:`from_folder`.

    Arguments:
        files: where the numbers lie.
        mode: the mode along which the tensor is cut; None is the longest one, from order 3 on except for the innermost
            one in the files.
        workers: who reads.
        block_bytes: memory for one block. Tucker reads one entry of the mode with all others at least.

    Raises:
        OptionError: a mode that the tensor does not have, too few bytes to be a number, or workers that were given
            different files or options.

    Example:
        >>> import pathlib, tempfile, numpy as np, rankfold
        >>> path = pathlib.Path(tempfile.mkdtemp()) / "ones.npy"
        >>> np.save(path, np.ones((6, 5, 4)))
        >>> x = Sharded.from_npy(path, block_bytes=400)
        >>> x
        Sharded(shape=(6, 5, 4), float64, mode 0 in blocks of 2, worker 0 of 1 reads 0..5)
        >>> parts = rankfold.cp(x, 1, method="als", generator=0)
        >>> parts.relative_error < 1e-6
        True
    """

    def __init__(self, files: JoinedFiles, mode: int | None, workers: Workers, block_bytes: int) -> None:
        if not isinstance(files, JoinedFiles):
            raise OptionError(
                f"Sharded: got a {type(files).__name__}; make it by Sharded.from_npy(path) or from_folder(path)."
            )
        check_count("Sharded", "block_bytes", block_bytes)
        self.shape, self.dtype, self.workers, self.block_bytes = (
            files.shape,
            files.dtype,
            workers,
            block_bytes,
        )
        self._files = files
        order = len(files.shape)
        if mode is None:
            # Slices of the innermost mode lie scattered over the whole file.
            mode = max(files.outermost[: max(order - 1, 2)], key=lambda mode: files.shape[mode])
        if isinstance(mode, bool) or not isinstance(mode, int) or not 0 <= mode < order:
            raise OptionError(
                f"Sharded: mode must be one of 0..{order - 1} of a tensor of shape {files.shape}, or None, got "
                f"{mode!r}; pass such a mode."
            )
        self.mode = mode
        agree_on(
            workers,
            f"{files.version} {mode} {block_bytes}",
            f"Sharded: the workers see different files, modes or block_bytes (here {files.shape} in mode {mode}); give "
            "all of them the same files of the same sizes and the same options.",
        )

    @classmethod
    def from_npy(
        cls,
        path: Path,
        mode: int | None = None,
        process_group: "dist.ProcessGroup | None" = None,
        *,
        block_bytes: int = BLOCK_BYTES,
    ) -> "Sharded":
        """The tensor of one ``.npy`` file, which is mapped into memory.

        Arguments:
            path: the file: real numbers of any type, byte order and layout.
            mode: the mode along which workers and blocks cut it; None chooses one.
            process_group: the workers; None is the default group of torch.distributed, or one process.
            block_bytes: memory for one block.

        Raises:
            DataError: the file is missing, damaged or cut short, on any worker.
            OptionError: see the class.
        """
        workers = _workers(process_group)
        return cls(together(workers, lambda: open_file(path)), mode, workers, block_bytes)

    @classmethod
    def from_folder(
        cls,
        path: Path,
        axis: int = 0,
        mode: int | None = None,
        process_group: "dist.ProcessGroup | None" = None,
        *,
        block_bytes: int = BLOCK_BYTES,
    ) -> "Sharded":
        """The tensor of a folder of ``.npy`` files that follow one another along a mode.

        Arguments:
            path: the folder. Its file ``shards.json``, a list of names, says which files and in which order; without
                it all ``.npy`` files are taken, part_10 after part_9.
            axis: the mode along which the files follow one another, as in ``np.concatenate``.
            mode: the mode along which workers and blocks cut the tensor; None chooses one.
            process_group: the workers; None is the default group of torch.distributed, or one process.
            block_bytes: memory for one block.

        Raises:
            DataError: a file is missing, damaged, cut short, of another dtype or shape, or a name leads out of the
                folder, on any worker.
            OptionError: see the class.
        """
        workers = _workers(process_group)
        return cls(together(workers, lambda: open_folder(path, axis)), mode, workers, block_bytes)

    @property
    def rows(self) -> slice:
        """The part of the mode that this worker reads; it may be empty."""
        size, count, rank = self.shape[self.mode], self.workers.count, self.workers.rank
        longer, length = size % count, size // count
        start = rank * length + min(rank, longer)
        return slice(start, start + length + (rank < longer))

    @property
    def rows_at_once(self) -> int:
        """How much of the mode makes a block that is whole in all other modes."""
        return min(max(self.block_bytes // self._row_bytes(), 1), self.shape[self.mode])

    @property
    def tile(self) -> tuple[int, ...]:
        """The sides of a block of about ``block_bytes`` that is cut in a second mode too, where that is needed.

        A product with R components of one entry of the mode with all others would be R times as large as these, so a
        tile has some entries of the mode and fewer of the longest other one.
        """
        sides = list(self.shape)
        rows = min(max(self.rows_at_once, _ROWS), self.shape[self.mode])
        other = max((mode for mode in range(len(sides)) if mode != self.mode), key=lambda mode: sides[mode])
        entries = max(self.block_bytes // _DOUBLE_BYTES, 1)
        rest = prod(sides) // sides[self.mode] // sides[other]
        sides[other] = min(max(entries // (rows * rest), 1), sides[other])
        sides[self.mode] = min(max(entries // (sides[other] * rest), 1), rows)
        return tuple(sides)

    def boxes(self, sides: Sequence[int]) -> Iterator[tuple[slice, ...]]:
        """This worker's slice in boxes of such sides, one slice with start and stop per mode."""
        spans = [slice(0, size) for size in self.shape]
        spans[self.mode] = self.rows
        pieces = [
            [slice(at, min(at + side, span.stop)) for at in range(span.start, span.stop, side)]
            for span, side in zip(spans, sides, strict=True)
        ]
        return product(*pieces)

    def read(self, box: Sequence[slice], dtype: torch.dtype) -> Tensor:
        """The numbers of a box, float32 or float64, in memory of their own.

        Raises:
            DataError: a file has changed since it was opened.
        """
        return self._files.read(box, dtype)

    def place(self, position: tuple[int, ...]) -> str:
        """The file that holds an entry."""
        return self._files.place(position)

    def __repr__(self) -> str:
        count, rows = self.workers.count, self.rows
        read = f"reads {rows.start}..{rows.stop - 1}" if rows.stop > rows.start else "reads nothing"
        return (
            f"Sharded(shape={self.shape}, {str(self.dtype).removeprefix('torch.')}, mode {self.mode} in blocks of "
            f"{self.rows_at_once}, worker {self.workers.rank} of {count} {read})"
        )

    def _row_bytes(self) -> int:
        return prod(self.shape) // self.shape[self.mode] * _DOUBLE_BYTES


def _workers(process_group: object) -> Workers:
    if process_group is not None and not (
        dist.is_available() and isinstance(process_group, dist.ProcessGroup)
    ):
        raise OptionError(
            f"Sharded: process_group is a {type(process_group).__name__}; pass what torch.distributed.new_group gave, "
            "or None."
        )
    workers = workers_of(process_group)
    if workers.group is not None and "cpu:" not in dist.get_backend_config(workers.group):
        raise OptionError(
            f"Sharded: the process group sends by {dist.get_backend_config(workers.group)}, but files are read on the "
            'CPU; start torch.distributed with "cpu:gloo,cuda:nccl", or pass new_group(backend="gloo").'
        )
    return workers
