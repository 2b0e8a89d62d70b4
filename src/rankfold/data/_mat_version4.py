"""MATLAB files of version 4: headers of five numbers, each followed by a name and numbers."""

import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor

from rankfold.data._mat_array import MatArray, dense, sparse

__all__ = ["arrays_of_version_4"]

# Types of numbers, by the tens of the first number: MathWorks, "MAT-file format", version 4.
_TYPES = ("f8", "f4", "i4", "i2", "u2", "u1")
_FULL, _SPARSE = 0, 2


def arrays_of_version_4(path: Path) -> Iterator[MatArray]:
    """The matrices of numbers in a file; texts are passed over.

    Raises:
        ValueError: the file is damaged; struct has an error of its own.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        while head := file.read(20):
            order = next((o for o in "<>" if 0 <= struct.unpack(f"{o}i", head[:4])[0] < 5000), None)
            if order is None:
                raise ValueError("it does not begin as one")
            mark, rows, columns, imaginary, letters = struct.unpack(f"{order}5i", head)
            kind, form = mark // 10 % 10, mark % 10
            if kind >= len(_TYPES) or min(rows, columns) < 0 or letters < 1:
                raise ValueError("it does not begin as one")
            stored = np.dtype(f"{order}{_TYPES[kind]}")
            start, length = file.tell() + letters, rows * columns * stored.itemsize
            after = start + length * (2 if imaginary else 1)
            if after > size:
                raise ValueError("it ends before what it announces")
            name = file.read(letters).rstrip(b"\x00").decode("latin-1")
            if form in (_FULL, _SPARSE):
                yield _matrix(path, name, (rows, columns), stored, start, form == _SPARSE, bool(imaginary))
            file.seek(after)


def _matrix(
    path: Path,
    name: str,
    size: tuple[int, int],
    stored: np.dtype,
    start: int,
    is_sparse: bool,
    is_complex: bool,
) -> MatArray:
    """Entries of a sparse matrix are rows of coordinates and value, the last one holds the shape."""
    shape = size
    if is_sparse:
        last = _numbers(path, stored, size, start)[-1:]
        if size[1] not in (3, 4) or not len(last) or not bool((abs(last) < 2**31).all()):
            raise ValueError(f"{name} is no sparse matrix")
        shape = (int(last[0, 0]), int(last[0, 1]))
    return MatArray(
        name=name,
        shape=shape,
        dtype="float64" if is_sparse else stored.name,
        is_complex=is_complex or (is_sparse and size[1] == 4),
        stored=size[0] - 1 if is_sparse else None,
        load=partial(_load, path, stored, size, start, shape if is_sparse else None),
    )


def _load(
    path: Path, stored: np.dtype, size: tuple[int, int], start: int, shape: tuple[int, int] | None
) -> "np.ndarray | Tensor":
    numbers = _numbers(path, stored, size, start)
    if shape is None:
        return numbers
    places = numbers[:-1, :2]
    if not bool((abs(places) < 2**31).all()):
        raise ValueError("it has entries outside of its shape")
    rows, columns = places.astype(np.int64).T - 1
    return sparse(rows, columns, numbers[:-1, 2], shape)


def _numbers(path: Path, stored: np.dtype, size: tuple[int, int], start: int) -> np.ndarray:
    with path.open("rb") as file:
        file.seek(start)
        return dense(np.frombuffer(file.read(size[0] * size[1] * stored.itemsize), stored), size)
