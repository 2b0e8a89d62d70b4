"""A tensor in a file whose size is known before its numbers are read."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rankfold._errors import DataError

__all__ = ["TensorSource", "chosen_key", "numpy_source", "working_dtype"]

_HALVES = ("float16", "bfloat16")


@dataclass(frozen=True, kw_only=True)
class TensorSource:
    """What a file promises, and the way to read it.

    Arguments:
        path: the file.
        key: name of the tensor in a file of several, None in the others.
        shape: of the tensor, None where only reading tells (sparse coordinates in a text file).
        stored: numbers that the file holds: all entries of a dense tensor, the given ones of a sparse tensor.
        stored_dtype: their type in the file, by its NumPy or torch name.
        dtype: float32 or float64, the type that :meth:`read` gives.
        read_bytes: memory that reading takes at most, result included.
        load: gives the tensor in ``dtype``, dense or sparse COO.
    """

    path: Path
    key: str | None = None
    shape: tuple[int, ...] | None
    stored: int
    stored_dtype: str
    dtype: torch.dtype
    read_bytes: int
    load: Callable[[], Tensor]

    @property
    def note(self) -> str | None:
        """One sentence if reading changes the type of the numbers, otherwise None."""
        kept = str(self.dtype).removeprefix("torch.")
        if self.stored_dtype == kept:
            return None
        return f"{self.path.name}: the numbers are {self.stored_dtype}, read as {kept}."

    def read(self) -> Tensor:
        """Read the numbers.

        Returns:
            A tensor of its own memory, dense or sparse COO, of ``dtype``.

        Raises:
            DataError: the file is damaged.
        """
        return self.load()


def working_dtype(name: str, path: Path) -> torch.dtype:
    """Float32 for float32 and halves, float64 for float64 and whatever it holds: integers, booleans, long doubles.

    Raises:
        DataError: complex numbers, texts or objects.
    """
    if name == "float32" or name in _HALVES:
        return torch.float32
    if name == "bool" or name.startswith(("int", "uint", "float64", "float96", "float128")):
        return torch.float64
    raise DataError(f"{path}: the file holds {name}; allowed are real numbers; write such a file.")


def numpy_source(
    path: Path,
    shape: tuple[int, ...],
    stored_dtype: np.dtype,
    load: Callable[[], np.ndarray],
    *,
    key: str | None = None,
    mapped: bool = False,
) -> TensorSource:
    """The source of a dense NumPy array.

    Arguments:
        path: the file.
        shape: of the array.
        stored_dtype: of the array.
        load: gives the array.
        key: its name in the file, if it has one.
        mapped: whether ``load`` maps the file instead of reading it, which takes no memory.

    Raises:
        DataError: the array does not hold real numbers.
    """
    dtype = working_dtype(stored_dtype.name, path)
    wanted = np.dtype(str(dtype).removeprefix("torch."))
    stored = int(np.prod(shape, dtype=object))
    raw = 0 if mapped else stored * stored_dtype.itemsize
    return TensorSource(
        path=path,
        key=key,
        shape=shape,
        stored=stored,
        stored_dtype=stored_dtype.name,
        dtype=dtype,
        read_bytes=raw + stored * wanted.itemsize,
        load=lambda: torch.from_numpy(np.array(load(), dtype=wanted, order="C")),
    )


def chosen_key(path: Path, keys: list[str], key: str | None) -> str:
    """The only key of a file, or the one that was asked for.

    Raises:
        DataError: there is none, there are several and none was asked for, or there is no such key.
    """
    if not keys:
        raise DataError(f"{path}: the file holds no array of numbers; pass another file.")
    if key is None and len(keys) > 1:
        raise DataError(f"{path}: the file holds {', '.join(keys)}; choose one of these as the key.")
    if key is not None and key not in keys:
        raise DataError(
            f"{path}: got the key {key!r}, the file holds {', '.join(keys)}; choose one of these."
        )
    return keys[0] if key is None else key
