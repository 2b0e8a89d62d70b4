"""Sparse tensors as text: coordinates and a value per line."""

import gzip
import warnings
import zlib
from collections.abc import Iterator
from io import BufferedIOBase
from math import prod
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rankfold._errors import DataError
from rankfold.data._tensor_source import TensorSource
from rankfold.data._unpacking import limited_lines, most_unpacked

__all__ = ["open_tns"]

_COMMENT = "#"
_BYTES = 8  # of a float64 or int64
_LARGEST = 2**63 - 1  # place that coalesce() can number


def open_tns(path: Path, key: str | None) -> TensorSource:
    """Count the entries of a ``.tns`` or ``.tns.gz`` file.

    Arguments:
        path: each line has the coordinates of an entry, counted from 1, and its value; ``#`` begins a comment.
            Coordinates given twice are added up; each dimension is the largest coordinate that occurs.
        key: None.

    Raises:
        DataError: the file is damaged, is no such file, or a key is given.

    Reference:
        Smith et al. 2017, "FROSTT: The formidable repository of open sparse tensors and tools", frostt.io.
    """
    if key is not None:
        raise DataError(f"{path}: got the key {key!r}, a .tns file holds one tensor; leave the key out.")
    lines = _lines(path)
    first = next(lines, None)
    if first is None:
        raise DataError(f"{path}: the file holds no entries; pass lines of coordinates and a value.")
    order = len(first.split()) - 1
    if order < 1:
        raise DataError(
            f"{path}: the first entry is {first.strip()[:40]!r}; allowed are coordinates and a value; write it again."
        )
    stored = 1 + sum(1 for _ in lines)
    return TensorSource(
        path=path,
        shape=None,
        stored=stored,
        stored_dtype="float64",
        dtype=torch.float64,
        read_bytes=3 * stored * (order + 1) * _BYTES,  # as text gives them, as coordinates, and sorted
        load=lambda: _read(path),
    )


def _open(path: Path) -> BufferedIOBase:
    return gzip.open(path) if path.suffix == ".gz" else path.open("rb")


def _lines(path: Path) -> Iterator[str]:
    """The lines that hold an entry."""
    try:
        with _open(path) as file:
            for line in limited_lines(file, most_unpacked(path)):
                entry = line.partition(_COMMENT)[0]
                if entry.strip():
                    yield entry
    # A line that is no UTF-8, or too long, is a ValueError.
    except (gzip.BadGzipFile, EOFError, zlib.error, ValueError) as error:
        raise DataError(f"{path}: the file is damaged ({error}); fetch it again.") from None


def _read(path: Path) -> Tensor:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            table = np.loadtxt(_lines(path), comments=None, ndmin=2)
    except ValueError as error:  # says the line, or what is no number
        raise DataError(
            f"{path}: {str(error).partition(';')[0].rstrip('.')}; write the file again."
        ) from None
    coordinates, values = table[:, :-1], np.ascontiguousarray(table[:, -1])
    with np.errstate(invalid="ignore"):  # NaN and infinity become numbers that differ from them
        whole = coordinates.astype(np.int64)
    if not np.array_equal(whole, coordinates) or whole.min() < 1:
        raise DataError(f"{path}: coordinates must be whole numbers counted from 1; write the file again.")
    shape = tuple(whole.max(0).tolist())
    if prod(shape) > _LARGEST:
        raise DataError(
            f"{path}: a tensor of shape {shape} has more places than PyTorch can number (2^63 - 1); "
            "leave out or merge modes."
        )
    indices = torch.from_numpy(np.ascontiguousarray(whole.T - 1))
    return torch.sparse_coo_tensor(indices, torch.from_numpy(values), shape, check_invariants=True).coalesce()
