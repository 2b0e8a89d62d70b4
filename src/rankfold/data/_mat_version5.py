"""MATLAB files of versions 5 to 7.

They are read here and not by scipy, whose reader ends the process on damaged sparse matrices (seen with 1.17.1).
"""

import struct
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
from torch import Tensor

from rankfold.data._mat_array import MatArray, dense, sparse
from rankfold.data._mat_stream import Parts, packed_reader, plain_reader
from rankfold.data._unpacking import most_unpacked

__all__ = ["HEADER", "arrays_of_version_5"]

#: Bytes before the first element.
HEADER = 128
# Types of elements, classes of arrays and their flags: MathWorks, "MAT-file format", tables 1-1 to 1-3.
_MATRIX, _COMPRESSED = 14, 15
_TYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8"}
_SPARSE = 5
_CLASSES = {
    _SPARSE: "float64", 6: "float64", 7: "float32", 8: "int8", 9: "uint8", 10: "int16", 11: "uint16", 12: "int32",
    13: "uint32", 14: "int64", 15: "uint64",
}  # fmt: skip
_LOGICAL, _COMPLEX = 0x02, 0x08
# Bytes of a name, MATLAB allows 63 letters, and of the sizes of an array, numpy allows 64.
_NAME, _SIZES = 1024, 256


def arrays_of_version_5(path: Path) -> Iterator[MatArray]:
    """The arrays of numbers in a file; cells, structures, texts and functions are passed over.

    Raises:
        ValueError: the file is damaged; struct and zlib have errors of their own.
    """
    size, most = path.stat().st_size, most_unpacked(path)
    with path.open("rb") as file:
        order = {b"IM": "<", b"MI": ">"}.get(file.read(HEADER)[126:])
        if order is None:
            raise ValueError("it does not begin as one")
        place = HEADER
        while tag := file.read(8):
            kind, length = struct.unpack(f"{order}II", tag)
            if place + 8 + length > size:
                raise ValueError("it ends before what it announces")
            if kind not in (_MATRIX, _COMPRESSED):
                raise ValueError(f"it has an element of type {kind}")
            found = _array(partial(_parts, path, order, place, most), order)
            if found is not None:
                yield found
            place += 8 + length
            file.seek(place)


def _parts(path: Path, order: str, place: int, most: int) -> tuple[Parts, Callable[[], None]]:
    """The parts of the matrix at a place of the file, and what closes it."""
    file = path.open("rb")
    try:
        file.seek(place)
        kind, length = struct.unpack(f"{order}II", file.read(8))
        if kind == _COMPRESSED:
            read = packed_reader(file, length, most)
            kind, length = struct.unpack(f"{order}II", read(8))
        else:
            read = plain_reader(file, length)
        return Parts(read, order, length if kind == _MATRIX else 0), file.close
    except BaseException:
        file.close()
        raise


def _array(again: Callable[[], tuple[Parts, Callable[[], None]]], order: str) -> MatArray | None:
    parts, close = again()
    try:
        flags, entries = struct.unpack(f"{order}II", parts.next(8)[1])
        kind = _CLASSES.get(flags & 0xFF)
        if kind is None:
            return None
        shape = tuple(np.frombuffer(parts.next(_SIZES)[1], f"{order}i4").tolist())
        name = parts.next(_NAME)[1].decode("utf-8")
    finally:
        close()
    if not name:  # what MATLAB keeps of functions and objects
        return None
    if any(size < 0 for size in shape):
        raise ValueError(f"{name} has the shape {shape}")
    is_sparse, marks = flags & 0xFF == _SPARSE, flags >> 8
    return MatArray(
        name=name,
        shape=shape,
        dtype="bool" if marks & _LOGICAL else kind,
        is_complex=bool(marks & _COMPLEX),
        stored=entries if is_sparse else None,
        load=partial(_load, again, order, shape, kind, is_sparse),
    )


def _load(
    again: Callable[[], tuple[Parts, Callable[[], None]]],
    order: str,
    shape: tuple[int, ...],
    kind: str,
    is_sparse: bool,
) -> "np.ndarray | Tensor":
    parts, close = again()
    try:
        for most in (8, _SIZES, _NAME):
            parts.next(most)
        found = [_numbers(parts, order) for _ in range(3 if is_sparse else 1)]
    finally:
        close()
    if not is_sparse:
        return dense(found[0], shape).astype(kind)
    rows, ends, values = found
    if len(shape) != 2 or len(ends) != shape[1] + 1 or ends[0] != 0 or bool((ends[1:] < ends[:-1]).any()):
        raise ValueError("its columns are none")
    count = int(ends[-1])
    if count > min(len(rows), len(values)):
        raise ValueError(f"it has {len(values):,} values for {count:,} entries")
    return sparse(rows[:count], np.repeat(np.arange(shape[1]), np.diff(ends)), values[:count], shape)


def _numbers(parts: Parts, order: str) -> np.ndarray:
    kind, content = parts.next(1 << 62)
    if kind not in _TYPES:
        raise ValueError(f"its numbers are of type {kind}")
    return np.frombuffer(content, f"{order}{_TYPES[kind]}")
