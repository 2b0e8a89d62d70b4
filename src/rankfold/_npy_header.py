"""The header of a NumPy array, read with limits."""

import io
import warnings
from typing import Protocol

import numpy as np

__all__ = ["Readable", "read_header"]

_MAGIC = b"\x93NUMPY"
_LONGEST = 10_000  # bytes, as numpy itself allows for what is not trusted (max_header_size)
_BRACKETS = 64  # more than an array of numbers needs: a dictionary and a tuple


class Readable(Protocol):
    """What gives bytes."""

    def read(self, size: int = ..., /) -> bytes:
        """Up to so many."""
        ...


def read_header(file: Readable) -> tuple[tuple[int, ...], bool, np.dtype, int]:
    """Shape, whether the first index runs fastest, type, and bytes up to the numbers.

    Arguments:
        file: at its beginning.

    Raises:
        ValueError: it is no such header, or one with sizes that cannot be; numpy raises other errors too.

    Reference:
        NumPy enhancement proposal 1, "A simple file format for NumPy arrays".
    """
    start = file.read(8)
    if start[:6] != _MAGIC or len(start) < 8 or not 1 <= start[6] <= 3:
        raise ValueError("it does not begin as one")
    words = file.read(2 if start[6] == 1 else 4)
    length = int.from_bytes(words, "little")
    if length > _LONGEST:
        raise ValueError(f"its header has {length:,} bytes, allowed are {_LONGEST:,}")
    text = file.read(length)
    if len(text) < length:
        raise ValueError("it ends inside its header")
    if sum(text.count(bracket) for bracket in (b"(", b"[", b"{")) > _BRACKETS:
        raise ValueError("its header nests too deeply")
    read = np.lib.format.read_array_header_1_0 if start[6] == 1 else np.lib.format.read_array_header_2_0
    with warnings.catch_warnings():  # files of Python 2 are slow to read, and readable
        warnings.simplefilter("ignore")
        shape, fortran, dtype = read(io.BytesIO(words + text))
    if any(type(size) is not int or size < 0 for size in shape):
        raise ValueError(f"its shape is {shape}")
    return shape, fortran, dtype, 8 + len(words) + length
