"""MATLAB files up to version 7."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from rankfold._errors import DataError
from rankfold.data._tensor_source import TensorSource, chosen_key, numpy_source, working_dtype

__all__ = ["open_mat"]

# MATLAB's names of its classes of numbers; cells, structures and texts are none.
_CLASSES = {
    "double": "float64",
    "single": "float32",
    "logical": "bool",
    **{name: name for sign in ("int", "uint") for name in (f"{sign}{bits}" for bits in (8, 16, 32, 64))},
}
_SPARSE = "sparse"


def open_mat(path: Path, key: str | None) -> TensorSource:
    """List the arrays of a ``.mat`` file and choose one; sparse matrices become sparse tensors.

    Raises:
        DataError: scipy is not installed, the file is damaged or of version 7.3, or the key is missing or unknown.
    """
    try:
        from scipy import io
    except ImportError:
        raise DataError(
            f"{path}: .mat files need scipy, which is not installed; pip install 'rankfold[cli]'."
        ) from None
    try:
        content = {name: (shape, kind) for name, shape, kind in io.whosmat(str(path))}
    except NotImplementedError:
        raise DataError(
            f"{path}: the file is of MATLAB version 7.3 (HDF5), which is not read; save it in MATLAB with -v7."
        ) from None
    except Exception as error:  # scipy's reader meets damage with errors of every kind
        raise _damaged(path, error) from None
    numbers = [name for name, (_, kind) in content.items() if kind in _CLASSES or kind == _SPARSE]
    name = chosen_key(path, numbers, key)
    shape, kind = content[name]

    def load() -> Any:
        try:
            array = io.loadmat(str(path), variable_names=[name])[name]
        except Exception as error:
            raise _damaged(path, error) from None
        if array.dtype.kind == "c":  # which the list of the file does not tell
            raise DataError(f"{path}: {name} is complex; allowed are real numbers; save its parts.")
        return array

    if kind != _SPARSE:
        return numpy_source(path, tuple(shape), np.dtype(_CLASSES[kind]), load, key=name)
    # The list does not tell how many entries a sparse matrix has; the file, compressed or not, bounds nothing either.
    matrix = load().tocoo()
    dtype = working_dtype(matrix.dtype.name, path)
    return TensorSource(
        path=path,
        key=name,
        shape=tuple(matrix.shape),
        stored=matrix.nnz,
        stored_dtype=matrix.dtype.name,
        dtype=dtype,
        read_bytes=3 * matrix.nnz * 8,
        load=lambda: _sparse(matrix, dtype),
    )


def _sparse(matrix: Any, dtype: torch.dtype) -> Tensor:
    coordinates = torch.from_numpy(np.stack([matrix.row, matrix.col]).astype(np.int64))
    values = torch.from_numpy(np.asarray(matrix.data).astype(np.float64)).to(dtype)
    return torch.sparse_coo_tensor(coordinates, values, tuple(matrix.shape), check_invariants=True).coalesce()


def _damaged(path: Path, error: Exception) -> DataError:
    reason = str(error).partition("\n")[0] or type(error).__name__
    return DataError(f"{path}: the file is damaged or no MATLAB file ({reason}); save it again.")
