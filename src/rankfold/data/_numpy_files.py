"""``.npy`` and ``.npz``, without pickles."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from rankfold._errors import DataError
from rankfold.data._tensor_source import TensorSource, chosen_key, numpy_source

__all__ = ["open_npy", "open_npz"]

_SUFFIX = ".npy"  # of the members of an archive
# Damaged headers and archives come as errors of every kind out of numpy, zipfile, zlib and ast.
_BROKEN = Exception


def open_npy(path: Path, key: str | None) -> TensorSource:
    """Map a ``.npy`` file into memory.

    Raises:
        DataError: the file is damaged, holds pickled objects, or a key is given.
    """
    if key is not None:
        raise DataError(f"{path}: got the key {key!r}, a .npy file holds one array; leave the key out.")
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        if not isinstance(array, np.ndarray):
            raise ValueError("an archive under the name of an array")
    except _BROKEN as error:
        raise _damaged(path, error) from None
    return numpy_source(path, array.shape, array.dtype, lambda: array, mapped=True)


def open_npz(path: Path, key: str | None) -> TensorSource:
    """Read the header of one array of a ``.npz`` archive.

    Raises:
        DataError: the file is damaged, or the key is missing or unknown.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = [name for name in archive.namelist() if name.endswith(_SUFFIX)]
    except _BROKEN as error:
        raise _damaged(path, error) from None
    name = chosen_key(path, [member.removesuffix(_SUFFIX) for member in members], key)
    try:
        with zipfile.ZipFile(path) as archive, archive.open(name + _SUFFIX) as member:
            shape, dtype = _header(member)
    except _BROKEN as error:
        raise _damaged(path, error) from None
    return numpy_source(path, shape, dtype, lambda: _member(path, name), key=name)


def _header(member: Any) -> tuple[tuple[int, ...], np.dtype]:
    version = np.lib.format.read_magic(member)
    if version == (1, 0):
        shape, _, dtype = np.lib.format.read_array_header_1_0(member)
    else:
        shape, _, dtype = np.lib.format.read_array_header_2_0(member)
    return shape, dtype


def _member(path: Path, name: str) -> np.ndarray:
    try:
        with zipfile.ZipFile(path) as archive, archive.open(name + _SUFFIX) as member:
            return np.lib.format.read_array(member, allow_pickle=False)
    except _BROKEN as error:
        raise _damaged(path, error) from None


def _damaged(path: Path, error: Exception) -> DataError:
    reason = str(error).partition("\n")[0] or type(error).__name__
    return DataError(f"{path}: the file is damaged or no NumPy file of numbers ({reason}); write it again.")
