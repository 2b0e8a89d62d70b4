"""One ``.npy`` file mapped into memory; its header is believed in nothing that the file itself does not bear out."""

import mmap
import os
import stat
from math import prod
from pathlib import Path

import numpy as np
import torch

from rankfold._errors import DataError
from rankfold._npy_header import read_header

__all__ = ["MappedArray", "working_dtype"]

# Real numbers. Halves become float32, integers float64, as the readers of `rankfold.data` have it.
_KINDS = "fiub"
_MOST_MODES = 64  # of NumPy's arrays


class MappedArray:
    """An array in a file, of which slices are copied; nothing is read before, and nothing stays open in between.

    A map holds a file open, and a folder may have more files than a process may open.

    Arguments:
        path: a ``.npy`` file of real numbers.

    Raises:
        DataError: no such file, no regular file, damaged, cut short, pickled objects, or no numbers.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            found = path.stat()
            if not stat.S_ISREG(found.st_mode):
                raise DataError(f"{path}: is no regular file; pass a .npy file.")
            with path.open("rb") as file:
                shape, fortran, dtype, offset = read_header(file)
                _check(path, shape, dtype, offset, found.st_size)
        except DataError:
            raise
        except OSError as error:
            raise DataError(
                f"{path}: cannot be read ({error.strerror or error}); pass a .npy file that can."
            ) from None
        except (
            Exception
        ) as error:  # damaged headers come as errors of every kind out of numpy, ast and tokenize
            reason = str(error).partition("\n")[0] or type(error).__name__
            raise DataError(
                f"{path}: the file is damaged or no NumPy file of numbers ({reason}); write it again."
            ) from None
        self.shape, self.dtype, self.bytes = shape, dtype, found.st_size
        self.reversed = fortran  # the last mode is the outermost one in the file
        self._seen, self._offset = (found.st_size, found.st_mtime_ns), offset

    def copy(self, where: tuple[slice, ...], target: np.ndarray) -> None:
        """Copy a part into an array of its shape, with its numbers converted.

        Raises:
            DataError: the file has changed since its header was read, or cannot be opened again.
        """
        try:
            with self.path.open("rb") as file:
                now = os.fstat(file.fileno())
                # Reading a mapped file beyond its new end would kill the process.
                if (now.st_size, now.st_mtime_ns) != self._seen:
                    raise FileNotFoundError
                mapped = mmap.mmap(
                    file.fileno(),
                    self._offset + prod(self.shape) * self.dtype.itemsize,
                    access=mmap.ACCESS_READ,
                )
        except FileNotFoundError:
            raise DataError(
                f"{self.path}: the file was changed or removed while it was read; leave it alone and start again."
            ) from None
        except OSError as error:
            raise DataError(
                f"{self.path}: cannot be read any more ({error.strerror or error}); start again where it can."
            ) from None
        order = "F" if self.reversed else "C"
        array = np.ndarray(self.shape, self.dtype, buffer=mapped, offset=self._offset, order=order)
        np.copyto(target, array[where], casting="unsafe")


def working_dtype(dtype: np.dtype) -> torch.dtype:
    """Float32 for float32 and halves, float64 for everything else."""
    return torch.float32 if dtype.kind == "f" and dtype.itemsize <= 4 else torch.float64


def _check(path: Path, shape: tuple[int, ...], dtype: np.dtype, offset: int, size: int) -> None:
    if dtype.kind not in _KINDS:
        raise DataError(f"{path}: the file holds {dtype}; allowed are real numbers; write such a file.")
    if not 2 <= len(shape) <= _MOST_MODES or any(type(length) is not int or length < 1 for length in shape):
        raise DataError(
            f"{path}: the array has shape {str(shape)[:200]}; allowed are 2 to {_MOST_MODES} dimensions of 1 or more; "
            "pass such an array."
        )
    needed = offset + prod(shape) * dtype.itemsize
    if size < needed:
        raise DataError(
            f"{path}: the file has {size} bytes, its header of shape {shape} and {dtype} asks for {needed}; it was cut "
            "short, copy it again."
        )
