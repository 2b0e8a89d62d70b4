"""Read the IDX files of MNIST and Fashion-MNIST."""

import gzip
import zlib
from math import prod
from pathlib import Path

import numpy as np

from rankfold._errors import DataError

__all__ = ["read_idx"]

_UNSIGNED_BYTE = 0x08  # type code in the third byte of the magic number, see the reference


def read_idx(path: Path, dimensions: int) -> np.ndarray:
    """Read an IDX file of unsigned bytes, gzipped if its name ends in ``.gz``.

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
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:  # gzip.BadGzipFile is an OSError
        raise DataError(
            f"read_idx: {path} cannot be read ({error}); delete it and fetch it again."
        ) from error
    magic = bytes([0, 0, _UNSIGNED_BYTE, dimensions])
    if content[:4] != magic:
        raise DataError(
            f"read_idx: {path} begins with {content[:4].hex(' ') or 'nothing'}, an IDX file of bytes with "
            f"{dimensions} axes begins with {magic.hex(' ')}; replace it by the original file."
        )
    start = 4 + 4 * dimensions
    if len(content) < start:
        raise DataError(f"read_idx: {path} ends inside its header; delete it and fetch it again.")
    shape = tuple(int.from_bytes(content[k : k + 4], "big") for k in range(4, start, 4))
    if len(content) - start != prod(shape):
        raise DataError(
            f"read_idx: {path} holds {len(content) - start} bytes, its header {shape} announces "
            f"{prod(shape)}; delete it and fetch it again."
        )
    return np.frombuffer(content, np.uint8, offset=start).reshape(shape)
