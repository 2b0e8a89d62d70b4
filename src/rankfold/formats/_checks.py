"""Checks of what truncations and conversions are asked for."""

from collections.abc import Iterable, Sequence
from itertools import pairwise
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from rankfold._errors import OptionError, RankError, ShapeError

__all__ = ["as_tensor", "check_dense", "check_one_of", "check_permutation", "check_train", "ranks_within"]


def check_one_of(where: str, tolerance: float | None, ranks: object) -> None:
    """Exactly one of tolerance and ranks, and a tolerance in [0, 1).

    Raises:
        OptionError: otherwise.
    """
    if (tolerance is None) == (ranks is None):
        got = "neither" if ranks is None else "both"
        raise OptionError(f"{where}: got {got}; pass exactly one of tolerance= and ranks=.")
    if tolerance is not None and not 0 <= tolerance < 1:
        raise OptionError(f"{where}: tolerance must lie in [0, 1), got {tolerance}; 0.1 cuts at 10 % error.")


def check_dense(where: str, tensor: Tensor) -> None:
    """A dense tensor that a format can stand for.

    Raises:
        ShapeError: otherwise.
    """
    if not isinstance(tensor, Tensor):
        raise ShapeError(
            f"{where}: got a {type(tensor).__name__}; pass a tensor, such as torch.as_tensor of it."
        )
    if tensor.ndim < 2 or not tensor.is_floating_point() or tensor.numel() == 0:
        raise ShapeError(
            f"{where}: got a {tensor.dtype} tensor of shape {tuple(tensor.shape)}; "
            "pass a non-empty floating-point tensor of order 2 or more."
        )


def check_train(where: str, letters: str, cores: Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Two or more cores whose first and last sizes fit, with 1 at both ends, as a tuple.

    Arguments:
        where: name of the format.
        letters: of the sizes of a core, one for each.
        cores: in their order.

    Raises:
        ShapeError: otherwise.
    """
    listed = tuple(cores) if isinstance(cores, Iterable) else ()
    if not all(isinstance(core, Tensor) for core in listed):
        raise ShapeError(
            f"{where}: the cores are {cores!r:.80}; pass two or more tensors ({', '.join(letters)}')."
        )
    shapes = [tuple(core.shape) for core in listed]
    if (
        len(listed) < 2
        or any(len(shape) != len(letters) for shape in shapes)
        or shapes[0][0] != 1
        or shapes[-1][-1] != 1
        or any(left[-1] != right[0] for left, right in pairwise(shapes))
    ):
        raise ShapeError(
            f"{where}: got cores of shapes {shapes}; pass two or more cores ({', '.join(letters)}') whose ranks fit, "
            "with 1 at both ends."
        )
    if not listed[0].is_floating_point() or len({(core.dtype, core.device) for core in listed}) > 1:
        raise ShapeError(
            f"{where}: got cores {', '.join(f'{core.dtype} on {core.device}' for core in listed)}; "
            "bring them to one floating-point dtype and one device with .to()."
        )
    return listed


def check_permutation(where: str, modes: Sequence[int], order: int) -> None:
    """All modes of a tensor, each once.

    Raises:
        ShapeError: otherwise.
    """
    if sorted(modes) != list(range(order)):
        raise ShapeError(f"{where}: got modes {tuple(modes)}; pass each of 0..{order - 1} exactly once.")


def ranks_within(where: str, ranks: int | Sequence[int], bounds: Sequence[int]) -> tuple[int, ...]:
    """One rank per bound, each from 1 to it; a single number is lowered where a bound is smaller.

    Raises:
        RankError: wrong number of ranks, or a rank out of range.
    """
    single = isinstance(ranks, Integral)
    given: list[Any] = [ranks] if single else list(ranks) if isinstance(ranks, Sequence) else []
    limits = [max(bounds)] if single else list(bounds)
    if len(given) != len(limits) or not all(
        isinstance(rank, Integral) and not isinstance(rank, bool) and 1 <= int(rank) <= limit
        for rank, limit in zip(given, limits, strict=True)
    ):
        allowed = f"a number in 1..{max(bounds)}"
        if len(bounds) > 1:
            allowed += f", or one per rank, at most {tuple(bounds)}"
        raise RankError(f"{where}: got ranks {ranks}; pass {allowed}.")
    return tuple(min(int(given[0]), bound) for bound in bounds) if single else tuple(map(int, given))


def as_tensor(value: Any) -> Tensor:
    """A tensor as it is; anything else, such as a NumPy array, copied into one."""
    return value if isinstance(value, Tensor) else torch.tensor(value)
