"""MATLAB files up to version 7."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rankfold._errors import DataError
from rankfold.data._mat_array import MatArray
from rankfold.data._mat_version4 import arrays_of_version_4
from rankfold.data._mat_version5 import HEADER, arrays_of_version_5
from rankfold.data._tensor_source import TensorSource, chosen_key, numpy_source

__all__ = ["open_mat"]

# What struct, zlib, numpy and torch raise on damage is of many kinds.
_BROKEN = Exception
_HDF5 = 2  # first number of the version in the header


def open_mat(path: Path, key: str | None) -> TensorSource:
    """List the arrays of a ``.mat`` file and choose one; sparse matrices become sparse tensors.

    Raises:
        DataError: the file is damaged or of version 7.3, the key is missing or unknown, or the array is complex.
    """
    try:
        found = {
            array.name: array for array in _arrays(path)
        }  # of a name that is there twice the last one counts
    except DataError:
        raise
    except _BROKEN as error:
        raise _damaged(path, error) from None
    array = found[chosen_key(path, list(found), key)]
    if array.is_complex:
        raise DataError(f"{path}: {array.name} is complex; allowed are real numbers; save its parts.")

    def load() -> Any:
        try:
            return array.load()
        except _BROKEN as error:
            raise _damaged(path, error) from None

    if array.stored is None:
        return numpy_source(path, array.shape, np.dtype(array.dtype), load, key=array.name)
    return _sparse_source(path, array, load())


def _arrays(path: Path) -> list[MatArray]:
    with path.open("rb") as file:
        head = file.read(HEADER)
    if 0 in head[:4]:  # the first number of version 4 is small, version 5 begins with text
        return list(arrays_of_version_4(path))
    if len(head) == HEADER and _HDF5 in head[124:126]:
        raise DataError(
            f"{path}: the file is of MATLAB version 7.3 (HDF5), which is not read; save it in MATLAB with -v7."
        )
    return list(arrays_of_version_5(path))


def _sparse_source(path: Path, array: MatArray, tensor: Tensor) -> TensorSource:
    """What the header says of the number of entries is only how many there is room for."""
    return TensorSource(
        path=path,
        key=array.name,
        shape=array.shape,
        stored=tensor.values().numel(),
        stored_dtype=array.dtype,
        dtype=torch.float64,
        read_bytes=3 * tensor.values().numel() * 8,
        load=tensor.clone,
    )


def _damaged(path: Path, error: Exception) -> DataError:
    reason = str(error).partition("\n")[0].rstrip(".") or type(error).__name__
    return DataError(f"{path}: the file is damaged or no MATLAB file ({reason}); save it again.")
