"""Read the IDX files of MNIST and Fashion-MNIST."""

import gzip
import zlib
from math import prod
from pathlib import Path

import numpy as np

from rankfold._errors import DataError
from rankfold._npy_header import Readable
from rankfold.data._unpacking import most_unpacked

__all__ = ["read_idx"]

_UNSIGNED_BYTE = 0x08  # type code in the third byte of the magic number, see the reference
_CHUNK = 1 << 20  # bytes; any size that bounds what a false header makes us ask for will do


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Read an IDX file of unsigned bytes, gzipped if its name ends in ``.gz``.

    Never more is read, or unpacked, than the header announces.

    Arguments:
        path: the file.
        dimensions: number of axes it must have, 1 for labels and 3 for images.

    Returns:
        uint8, of the shape in the file's header.

    Raises:
        DataError: the file cannot be read, is not such an IDX file, or is shorter or longer than its header.

    Reference:
        LeCun, Cortes, Burges, "The MNIST database", section "The IDX file format"
        (yann.lecun.com/exdb/mnist): two zero bytes, the type, the number of axes, the sizes as big-endian
        32-bit integers, the bytes.
    """
    try:
        most = most_unpacked(path)
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            shape = _shape(file, path, dimensions)
            count = prod(shape)
            content = _read(file, min(count, most) + 1)
    except (OSError, EOFError, zlib.error) as error:  # gzip.BadGzipFile is an OSError
        raise DataError(f"read_idx: {path} cannot be read ({error}); delete it and fetch it again.") from None
    if len(content) != count:
        held = f"over {count}" if len(content) > count + 1 else str(len(content))
        raise DataError(
            f"read_idx: {path} holds {held} bytes, its header {shape} announces {count}; delete it and fetch it again."
        )
    return np.frombuffer(content, np.uint8).reshape(shape)


def _shape(file: Readable, path: Path, dimensions: int) -> tuple[int, ...]:
    head = file.read(4 + 4 * dimensions)
    magic = bytes([0, 0, _UNSIGNED_BYTE, dimensions])
    if head[:4] != magic:
        raise DataError(
            f"read_idx: {path} begins with {head[:4].hex(' ') or 'nothing'}, an IDX file of bytes with "
            f"{dimensions} axes begins with {magic.hex(' ')}; replace it by the original file."
        )
    if len(head) < 4 + 4 * dimensions:
        raise DataError(f"read_idx: {path} ends inside its header; delete it and fetch it again.")
    shape = tuple(int.from_bytes(head[k : k + 4], "big") for k in range(4, len(head), 4))
    if prod(max(size, 1) for size in shape) >= 2**63:
        raise DataError(f"read_idx: {path} announces the shape {shape}; delete it and fetch it again.")
    return shape


def _read(file: Readable, most: int) -> bytes:
    """The bytes that are there, up to so many."""
    content = bytearray()
    while len(content) < most and (chunk := file.read(min(_CHUNK, most - len(content)))):
        content += chunk
    return bytes(content)
