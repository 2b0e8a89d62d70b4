"""Apply a batched function once per group of same-shaped problems."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

__all__ = ["map_same_shape", "serial"]


def serial(tensor: Tensor) -> bool:
    """Whether batches are worked through one by one, and reading a number costs nothing: so on a processor."""
    return tensor.device.type == "cpu"


def map_same_shape(function: Callable[..., Any], *columns: Sequence[Tensor]) -> list[Any]:
    """Map a function over problems, on a GPU with those of equal shape, dtype and device stacked into one batch.

    Arguments:
        function: takes one tensor per column, with or without a leading batch axis, and returns a tensor or a tuple
            of tensors that have that axis too, or not.
        *columns: one sequence of tensors per argument; problem ``k`` is ``(c[k] for c in columns)``.

    Returns:
        One result (tensor or tuple of tensors, without the batch axis) per problem, in order.
    """
    if all(serial(tensor) for column in columns for tensor in column):
        # From 256 x 64 on stacking gains nothing there.
        return [function(*problem) for problem in zip(*columns, strict=True)]
    groups: dict[tuple[Any, ...], list[int]] = {}
    for index, problem in enumerate(zip(*columns, strict=True)):
        key = tuple((tensor.shape, tensor.dtype, tensor.device) for tensor in problem)
        groups.setdefault(key, []).append(index)
    results: list[Any] = [None] * len(columns[0])
    for indices in groups.values():
        stacked = [torch.stack([column[index] for index in indices]) for column in columns]
        outcome = function(*stacked)
        for position, index in enumerate(indices):
            results[index] = (
                tuple(part[position] for part in outcome) if isinstance(outcome, tuple) else outcome[position]
            )
    return results
