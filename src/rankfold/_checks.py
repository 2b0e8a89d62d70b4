"""Checks of single arguments, with one sentence for what does not pass."""

import os
from collections.abc import Iterable, Sequence
from math import inf, isfinite
from typing import TYPE_CHECKING, Any

from rankfold._errors import OptionError, ShapeError

if TYPE_CHECKING:
    from torch import Generator, Tensor

__all__ = [
    "check_count",
    "check_generator",
    "check_number",
    "check_path",
    "check_positive",
    "check_strength",
    "check_tensors",
]


def check_count(where: str, name: str, value: object, least: int = 1) -> None:
    """A whole number of at least so much.

    Raises:
        OptionError: otherwise.

    Example:
        >>> check_count("fit", "epochs", 3)
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise OptionError(
            f"{where}: {name} must be a whole number of {least} or more, got {value!r}; pass such a number."
        )


def check_number(
    where: str, name: str, value: object, low: float, high: float = inf, *, closed: bool = False
) -> None:
    """A number with ``low <= value < high``, or ``<= high`` where closed.

    Raises:
        OptionError: otherwise.
    """
    if (
        isinstance(value, bool)
        or not isinstance(value, int | float)
        or not (low <= value < high or (closed and value == high))
    ):
        end = "]" if closed else ")"
        raise OptionError(
            f"{where}: {name} must be a number in [{low:g}, {high:g}{end}, got {value!r}; pass such a number."
        )


def check_positive(where: str, name: str, value: object, *, none: bool = False) -> None:
    """A finite number over 0, or with ``none`` None.

    Raises:
        OptionError: otherwise.
    """
    if none and value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int | float) or not (isfinite(value) and value > 0):
        allowed = "None or a finite number" if none else "a finite number"
        raise OptionError(f"{where}: {name} must be {allowed} over 0, got {value!r}; pass such a number.")


def check_strength(where: str, value: object, name: str = "strength") -> None:
    """A finite number of 0 or more.

    Raises:
        OptionError: otherwise.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not (isfinite(value) and value >= 0):
        raise OptionError(
            f"{where}: {name} must be a finite number of 0 or more, got {value!r}; pass such a number."
        )


def check_tensors(where: str, tensors: "Sequence[Any]", order: int | None = None) -> "Sequence[Tensor]":
    """Floating-point tensors, of one order if it is given.

    Raises:
        ShapeError: otherwise.
    """
    from torch import Tensor

    if not isinstance(tensors, Iterable):
        raise ShapeError(f"{where}: got a {type(tensors).__name__}; pass a list of tensors.")
    for tensor in tensors:
        if not isinstance(tensor, Tensor):
            raise ShapeError(f"{where}: got a {type(tensor).__name__}; pass a tensor.")
        if not tensor.is_floating_point() or (order is not None and tensor.ndim != order):
            raise ShapeError(
                f"{where}: got a {tensor.dtype} tensor of shape {tuple(tensor.shape)}; pass floating-point numbers"
                + ("." if order is None else f" of order {order}.")
            )
    return tensors


def check_generator(where: str, generator: "Generator | None") -> None:
    """A generator of torch, or None for the global one.

    Raises:
        OptionError: otherwise.
    """
    from torch import Generator

    if generator is not None and not isinstance(generator, Generator):
        raise OptionError(
            f"{where}: generator is a {type(generator).__name__}; pass torch.Generator().manual_seed(...), or None."
        )


def check_path(where: str, path: object) -> None:
    """A path as ``open`` takes it.

    Raises:
        OptionError: otherwise.
    """
    if not isinstance(path, str | os.PathLike):
        raise OptionError(f"{where}: the path is a {type(path).__name__}; pass a string or a pathlib.Path.")
