"""``.npy`` and ``.npz``, without pickles."""

import zipfile
from math import prod
from pathlib import Path

import numpy as np

from rankfold._errors import DataError
from rankfold._npy_header import read_header
from rankfold.data._tensor_source import TensorSource, chosen_key, numpy_source
from rankfold.data._unpacking import most_unpacked

__all__ = ["BROKEN", "checked_member", "open_npy", "open_npz"]

_SUFFIX = ".npy"  # of the members of an archive
#: Damaged headers and archives come as errors of every kind out of numpy, zipfile, zlib, tokenize and ast.
BROKEN = Exception
# What numpy.savez writes, and the most that deflate can make of a byte (RFC 1951), its blocks apart.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_RATIO, _BLOCK = 1032, 1 << 16


def open_npy(path: Path, key: str | None) -> TensorSource:
    """Map a ``.npy`` file into memory.

    Raises:
        DataError: the file is damaged, holds pickled objects, or a key is given.
    """
    if key is not None:
        raise DataError(f"{path}: got the key {key!r}, a .npy file holds one array; leave the key out.")
    try:
        with path.open("rb") as file:
            _, _, dtype, _ = read_header(file)
        if dtype.hasobject or dtype.names or dtype.subdtype:
            raise ValueError(f"it holds {dtype.name}")
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except BROKEN as error:
        raise _damaged(path, error) from None
    size = path.stat().st_size

    def load() -> np.ndarray:
        if path.stat().st_size != size:  # to read a mapped file that was cut would end the process
            raise DataError(f"{path}: the file has changed since it was opened; open it again.")
        return array

    return numpy_source(path, array.shape, array.dtype, load, mapped=True)


def open_npz(path: Path, key: str | None) -> TensorSource:
    """Read the header of one array of a ``.npz`` archive.

    Raises:
        DataError: the file is damaged, or the key is missing or unknown.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [name for name in archive.namelist() if name.endswith(_SUFFIX)]
    except BROKEN as error:
        raise _damaged(path, error) from None
    name = chosen_key(path, [member.removesuffix(_SUFFIX) for member in members], key)
    try:
        with zipfile.ZipFile(path) as archive:
            shape, dtype = checked_member(archive, name, path)
    except BROKEN as error:
        raise _damaged(path, error) from None
    return numpy_source(path, shape, dtype, lambda: _member(path, name), key=name)


def checked_member(archive: zipfile.ZipFile, name: str, path: Path) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of an array of an archive, which has the bytes for it.

    Arguments:
        archive: open.
        name: of the array.
        path: of the archive.

    Raises:
        ValueError: the array is not there as it is announced, or too large for such a file; others from a damaged one.
    """
    member = archive.getinfo(name + _SUFFIX)
    if member.compress_type not in _METHODS:
        raise ValueError(f"{name} is compressed in a way that numpy does not write")
    if member.file_size > _RATIO * member.compress_size + _BLOCK:
        raise ValueError(f"{name} announces {member.file_size:,} bytes in {member.compress_size:,}")
    if member.file_size > most_unpacked(path):
        raise ValueError(f"{name} unpacks to {member.file_size:,} bytes; unpack it yourself if you trust it")
    with archive.open(member) as file:
        shape, _, dtype, start = read_header(file)
    if not dtype.hasobject and start + prod(shape) * dtype.itemsize != member.file_size:
        raise ValueError(
            f"{name} is announced as {dtype.name} of shape {shape} in {member.file_size:,} bytes"
        )
    return shape, dtype


def _member(path: Path, name: str) -> np.ndarray:
    try:
        with zipfile.ZipFile(path) as archive:
            checked_member(archive, name, path)
            with archive.open(name + _SUFFIX) as member:
                return np.lib.format.read_array(member, allow_pickle=False)
    except BROKEN as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> DataError:
    reason = str(error).partition("\n")[0].rstrip(".") or type(error).__name__
    return DataError(f"{path}: the file is damaged or no NumPy file of numbers ({reason}); write it again.")
