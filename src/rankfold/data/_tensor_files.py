"""Tensors from files of many kinds."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from rankfold._errors import DataError
from rankfold._registry import Registry
from rankfold.data._csv_file import open_csv
from rankfold.data._mat_file import open_mat
from rankfold.data._numpy_files import open_npy, open_npz
from rankfold.data._safetensors_file import open_safetensors
from rankfold.data._tensor_source import TensorSource
from rankfold.data._tns import open_tns

__all__ = ["TENSOR_FILES", "TensorFileKind", "open_tensor", "read_tensor"]


@dataclass(frozen=True, slots=True)
class TensorFileKind:
    """A kind of file.

    Arguments:
        name: how the names of such files end.
        open: from a path and a key to what the file promises.
        summary: one sentence.
    """

    name: str
    open: Callable[[Path, str | None], TensorSource]
    summary: str


TENSOR_FILES: Registry[TensorFileKind] = Registry(
    "tensor file",
    TensorFileKind(".npy", open_npy, "a NumPy array, mapped into memory"),
    TensorFileKind(".npz", open_npz, "an archive of NumPy arrays, one of them by its key"),
    TensorFileKind(".mat", open_mat, "MATLAB up to version 7, one array by its key"),
    TensorFileKind(".csv", open_csv, "a matrix as text, blank cells are missing"),
    TensorFileKind(".tns", open_tns, "sparse: coordinates and a value per line"),
    TensorFileKind(".tns.gz", open_tns, "the same compressed"),
    TensorFileKind(".safetensors", open_safetensors, "one tensor by its key"),
)


def open_tensor(path: str | os.PathLike[str], key: str | None = None) -> TensorSource:
    """Look at a file of a tensor without reading its numbers.

    Arguments:
        path: a file whose name ends in one of ``TENSOR_FILES``.
        key: which array of a file of several.

    Returns:
        Shape, types and size, and the way to read it.

    Raises:
        DataError: the file is missing, empty, damaged, of an unknown kind, or holds no tensor of order 2 or more.
    """
    path = Path(path)
    kinds = [kind for kind in TENSOR_FILES.values() if path.name.lower().endswith(kind.name)]
    if not kinds:
        known = ", ".join(TENSOR_FILES)
        raise DataError(
            f"{path}: the end of its name is of no known kind; known are {known}; convert the file."
        )
    try:
        size = path.stat().st_size if path.is_file() else None
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); pass a file that can.") from None
    if size is None:
        raise DataError(f"{path}: there is no such file; pass one that exists.")
    if size == 0:
        raise DataError(f"{path}: the file is empty; write it again.")
    try:
        source = kinds[0].open(path, key)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror or error}); pass a file that can."
        ) from None
    if source.shape is not None and (len(source.shape) < 2 or 0 in source.shape):
        raise DataError(
            f"{path}: the array has shape {source.shape}; allowed are two or more dimensions of at least 1; "
            "pass such an array."
        )
    return source


def read_tensor(path: str | os.PathLike[str], key: str | None = None) -> Tensor:
    """Read a tensor from a file.

    Arguments:
        path: a file whose name ends in one of ``TENSOR_FILES``.
        key: which array of a file of several.

    Returns:
        Float32 or float64; dense, or sparse COO from ``.tns`` and sparse ``.mat``. Integers become float64 and
        halves float32.

    Raises:
        DataError: the file is missing, empty, damaged, of an unknown kind, or holds no tensor of order 2 or more.

    Example:
        >>> import pathlib, tempfile
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "counts.tns"
        >>> _ = file.write_text("1 1 2 5.0\\n3 1 1 2.5\\n")
        >>> x = read_tensor(file)
        >>> x.is_sparse, tuple(x.shape)
        (True, (3, 1, 2))
    """
    return open_tensor(path, key).read()
