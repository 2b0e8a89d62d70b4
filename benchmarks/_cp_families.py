"""The families of exact tensors on which the success of CP methods is counted."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from benchmarks._cp_problems import (
    binary,
    bottlenecks,
    congruent,
    gaussian,
    geometric_weights,
    matrix_multiplication,
    orthonormal,
    seeded,
    with_weights,
)
from rankfold.formats import CP

__all__ = ["FAMILIES", "Family"]


@dataclass(frozen=True)
class Family:
    """Tensors of one kind.

    Arguments:
        shape: dimensions.
        rank: number of components.
        make: the tensor for a generator, exact and of this rank.
        goal: whether ``auto`` is to succeed on it; the others are listed only.
    """

    shape: tuple[int, ...]
    rank: int
    make: Callable[[torch.Generator], Tensor]
    goal: bool = True

    def tensor(self, seed: int) -> Tensor:
        """The tensor of a seed."""
        return self.make(seeded(seed))


def _cp(
    shape: tuple[int, ...], rank: int, make: Callable[[torch.Generator], CP], smallest: float | None = None
) -> Family:
    """A family of CP tensors, with geometric weights from 1 to ``smallest`` where that is given."""

    def tensor(generator: torch.Generator) -> Tensor:
        cp = make(generator)
        return (cp if smallest is None else with_weights(cp, geometric_weights(rank, smallest))).to_dense()

    return Family(shape, rank, tensor)


def _gaussian(shape: tuple[int, ...], rank: int, smallest: float | None = None) -> Family:
    return _cp(shape, rank, lambda g: gaussian(shape, rank, g), smallest)


def _orthonormal(shape: tuple[int, ...], rank: int, smallest: float | None = None) -> Family:
    return _cp(shape, rank, lambda g: orthonormal(shape, rank, g), smallest)


def _congruent(shape: tuple[int, ...], rank: int, c: float, smallest: float | None = None) -> Family:
    return _cp(shape, rank, lambda g: congruent(shape, rank, c, g), smallest)


FAMILIES: dict[str, Family] = {
    "20^3 R10 orthogonal": _orthonormal((20,) * 3, 10),
    "12^3 R12 orthogonal": _orthonormal((12,) * 3, 12),
    "16^3 R16 orthogonal, weights 1..0.2": _orthonormal((16,) * 3, 16, 0.2),
    "8^4 R6 orthogonal": _orthonormal((8,) * 4, 6),
    "15^3 R5 c=.99": _congruent((15,) * 3, 5, 0.99),
    "10^3 R10 weights 1..1e-2": _gaussian((10,) * 3, 10, 1e-2),
    "10^3 R8 weights 1..1e-3": _gaussian((10,) * 3, 8, 1e-3),
    "12^3 R6 c=.95 weights 1..0.03": _congruent((12,) * 3, 6, 0.95, 0.03),
    "10^3 R6 double bottleneck": _cp((10,) * 3, 6, lambda g: bottlenecks((10,) * 3, 6, 0.99, (0, 1), g)),
    "8^3 R11 gaussian": _gaussian((8,) * 3, 11),
    "8^3 R11 weights 1..1e-2": _gaussian((8,) * 3, 11, 1e-2),
    "4^3 R7 Strassen": Family((4,) * 3, 7, lambda g: matrix_multiplication(2)),
    "8^3 R8 gaussian": _gaussian((8,) * 3, 8),
    "20^3 R5 c=.5": _congruent((20,) * 3, 5, 0.5),
    "20^3 R5 c=.9": _congruent((20,) * 3, 5, 0.9),
    "15^3 R10 binary": _cp((15,) * 3, 10, lambda g: binary((15,) * 3, 10, g)),
    "5^5 R10 gaussian": _gaussian((5,) * 5, 10),
    "9^3 R14 gaussian": _gaussian((9,) * 3, 14),
    "8^4 R8 gaussian": _gaussian((8,) * 4, 8),
    "9^3 R23 Laderman": Family((9,) * 3, 23, lambda g: matrix_multiplication(3), goal=False),
}
