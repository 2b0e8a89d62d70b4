"""Arrays in files that are one tensor when put one after another along a mode."""

import json
import re
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import torch
from torch import Tensor

from rankfold._checks import check_path
from rankfold._errors import DataError, OptionError
from rankfold.decompose._npy_map import MappedArray, working_dtype

__all__ = ["JoinedFiles", "open_file", "open_folder"]

_SUFFIX = ".npy"
_LIST = "shards.json"
# A list of a hundred thousand names has some megabytes.
_LIST_BYTES = 2**24


class JoinedFiles:
    """One tensor out of arrays of one dtype that agree in all modes but one.

    Arguments:
        parts: in the order in which they follow one another.
        axis: the mode along which they do.

    Raises:
        DataError: an array of another dtype, order or shape than the first.
    """

    def __init__(self, parts: Sequence[MappedArray], axis: int) -> None:
        first = parts[0]
        self._parts, self._axis = list(parts), axis
        for part in parts[1:]:
            if part.dtype != first.dtype or _without(part.shape, axis) != _without(first.shape, axis):
                raise DataError(
                    f"{part.path}: the array is {part.dtype} of shape {part.shape}; allowed is {first.dtype} of the "
                    f"shape {first.shape} of {first.path.name}, except in mode {axis}; write it again."
                )
        self._stops = list(accumulate(part.shape[axis] for part in parts))
        self.shape = (*first.shape[:axis], self._stops[-1], *first.shape[axis + 1 :])
        self.dtype = working_dtype(first.dtype)
        # From the mode whose slices lie together to the one whose slices are scattered most.
        self.outermost = tuple(range(len(self.shape)))[:: -1 if first.reversed else 1]
        self.version = f"{first.dtype.str} {[(part.shape, part.bytes) for part in parts]}"

    def read(self, box: Sequence[slice], dtype: torch.dtype) -> Tensor:
        """A part of its own memory.

        Arguments:
            box: one slice with start and stop per mode.
            dtype: float32 or float64.

        Raises:
            DataError: a file has changed since it was opened.
        """
        axis, wanted = self._axis, box[self._axis]
        result = torch.empty([side.stop - side.start for side in box], dtype=dtype)
        target = result.numpy()
        for part, end in zip(self._parts, self._stops, strict=True):
            begin = end - part.shape[axis]
            low, high = max(wanted.start, begin), min(wanted.stop, end)
            if low < high:
                here = (*box[:axis], slice(low - begin, high - begin), *box[axis + 1 :])
                there = (slice(None),) * axis + (slice(low - wanted.start, high - wanted.start),)
                part.copy(here, target[there])
        return result

    def place(self, position: Sequence[int]) -> str:
        """The file that holds an entry."""
        index = next(i for i, stop in enumerate(self._stops) if position[self._axis] < stop)
        return str(self._parts[index].path)


def open_file(path: object) -> JoinedFiles:
    """The tensor of one ``.npy`` file."""
    return JoinedFiles([MappedArray(_path(path))], 0)


def open_folder(path: object, axis: int) -> JoinedFiles:
    """The tensor of a folder: the files that ``shards.json`` lists, or all ``.npy`` files in natural order.

    Raises:
        DataError: no such folder, no files, a damaged list, a name that leads out of the folder, or a file that is
            missing, damaged or does not fit.
        OptionError: an axis that the arrays do not have.
    """
    folder = _path(path)
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder; pass one of .npy files.")
    names = _listed(folder) if (folder / _LIST).exists() else _found(folder)
    root = folder.resolve()
    parts = []
    for name in names:
        file = folder / name
        if file.resolve().parent != root:
            raise DataError(f"{folder}: {name!r} is a link out of the folder; copy the file into it.")
        parts.append(MappedArray(file))
    order = len(parts[0].shape)
    if isinstance(axis, bool) or not isinstance(axis, int) or not 0 <= axis < order:
        raise OptionError(
            f"{folder}: axis must be a mode in 0..{order - 1} of arrays of shape {parts[0].shape}, got {axis!r}; pass "
            "the mode along which the files follow one another."
        )
    if any(len(part.shape) != order for part in parts):
        other = next(part for part in parts if len(part.shape) != order)
        raise DataError(
            f"{other.path}: the array has {len(other.shape)} modes, that of {names[0]} has {order}; write it again."
        )
    return JoinedFiles(parts, axis)


def _found(folder: Path) -> list[str]:
    names = [entry.name for entry in folder.iterdir() if entry.name.endswith(_SUFFIX)]
    if not names:
        raise DataError(f"{folder}: the folder holds no .npy files; pass one that does.")
    return sorted(names, key=_natural)


def _listed(folder: Path) -> list[str]:
    file = folder / _LIST
    try:
        if not file.is_file() or file.stat().st_size > _LIST_BYTES:
            raise ValueError(f"no file of at most {_LIST_BYTES} bytes")
        names = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(f"{file}: the list is damaged ({error}); write it again.") from None
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise DataError(f'{file}: allowed is a list of names, such as ["part_0.npy"]; write it again.')
    for name in names:
        plain = name.endswith(_SUFFIX) and not set(name) & set("/\\\0")
        if not plain:
            raise DataError(
                f"{file}: lists {name!r}; allowed are the plain names of .npy files in the folder; write it again."
            )
    if len(set(names)) < len(names):
        double = next(name for name in names if names.count(name) > 1)
        raise DataError(f"{file}: lists {double!r} twice; list each file once.")
    return names


def _natural(name: str) -> tuple[list[tuple[int, str]], str]:
    """Part 10 after part 9; names equal in that sense by their letters."""
    words = re.split(r"([0-9]+)", name)
    return [(int(word), "") if word.isdigit() else (-1, word) for word in words], name


def _path(path: object) -> Path:
    check_path("Sharded", path)
    return Path(path)  # pyright: ignore[reportArgumentType]


def _without(shape: Sequence[int], axis: int) -> tuple[int, ...]:
    return (*shape[:axis], *shape[axis + 1 :])
