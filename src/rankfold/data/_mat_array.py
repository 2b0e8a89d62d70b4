"""One array of a MATLAB file, as its header describes it, and its numbers."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import numpy as np
import torch
from torch import Tensor

__all__ = ["MatArray", "dense", "sparse"]


@dataclass(frozen=True, slots=True, kw_only=True)
class MatArray:
    """What a file says of an array.

    Arguments:
        name: in the file.
        shape: of the array.
        dtype: type of the numbers, by its NumPy name.
        is_complex: whether there are imaginary parts.
        stored: entries of a sparse matrix, None of a dense array.
        load: gives a NumPy array, or a tensor in sparse COO form; raises what damage raises.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    is_complex: bool
    stored: int | None
    load: Callable[[], "np.ndarray | Tensor"]


def dense(numbers: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Numbers that a file holds column by column.

    Raises:
        ValueError: there are fewer or more than the shape has.
    """
    if len(numbers) != prod(shape):
        raise ValueError(f"{len(numbers):,} numbers are no array of shape {shape}")
    return numbers.reshape(shape, order="F")


def sparse(rows: np.ndarray, columns: np.ndarray, values: np.ndarray, shape: tuple[int, ...]) -> Tensor:
    """A matrix of the given entries, counted from 0.

    Raises:
        ValueError: entries outside of the matrix, or coordinates and values of different number.
    """
    if not len(rows) == len(columns) == len(values):
        raise ValueError("it has coordinates and values of different number")
    places = torch.from_numpy(np.stack([rows, columns]).astype(np.int64))
    if len(rows) and (int(places.min()) < 0 or bool((places.amax(1) >= torch.tensor(shape)).any())):
        raise ValueError(f"it has entries outside of the shape {shape}")
    numbers = torch.from_numpy(values.astype(np.float64))
    return torch.sparse_coo_tensor(places, numbers, shape, check_invariants=True).coalesce()
