"""Ranks at the steps of the staircase that kernels make of the cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral

from rankfold._errors import OptionError
from rankfold.ranks._policy import ShapeRule, as_rule, lowered

__all__ = ["QUANTUM", "Quantum", "check_quantum", "quantized_rank"]

#: oneDNN works on blocks of 16 channels, one AVX-512 register of float32: at rank 17 a second block is paid.
QUANTUM = 16


def quantized_rank(rank: int, size: int, quantum: int = QUANTUM) -> int:
    """Round a rank to a multiple of the quantum where that changes it by at most a quarter of the quantum.

    A quarter over a multiple the rank goes down, for a whole block of work would be spent on few directions;
    a quarter under it goes up, for the block is paid already. In between, or where the multiple is 0 or more
    than the size, it stays.

    Arguments:
        rank: at least 1.
        size: the largest rank allowed.
        quantum: at least 1; 1 changes nothing.

    Returns:
        A rank in 1..size for every rank in 1..size.

    Example:
        >>> [quantized_rank(rank, 64) for rank in (3, 12, 20, 21, 27, 28, 60)]
        [3, 16, 16, 21, 27, 32, 64]
    """
    excess = rank % quantum
    if 4 * excess <= quantum:
        rounded = rank - excess
    elif 4 * excess >= 3 * quantum:
        rounded = rank - excess + quantum
    else:
        return rank
    return rounded if 1 <= rounded <= size else rank


@dataclass(frozen=True, slots=True)
class Quantum(ShapeRule):
    """The ranks of another policy, moved to a multiple of the quantum where one is near.

    Arguments:
        policy: the other policy, or a number as :func:`rankfold.factorize` takes it.
        quantum: at least 1; 16 is the width of the blocks that kernels work on.

    Raises:
        OptionError: a quantum below 1, or what is neither policy nor number in range.

    Example:
        >>> Quantum(0.45)((64, 64, 3, 3), (0, 1))  # 0.45 * 64 = 29
        (32, 32)
    """

    policy: ShapeRule | int | float
    quantum: int = QUANTUM

    def __post_init__(self) -> None:
        object.__setattr__(self, "policy", as_rule("Quantum", self.policy))
        check_quantum("Quantum", self.quantum)

    def __call__(self, shape: Sequence[int], modes: Sequence[int]) -> tuple[int, ...]:
        """Ranks for a weight of ``shape`` factorised along ``modes``."""
        ranks = as_rule("Quantum", self.policy)(shape, modes)
        sizes = [shape[mode] for mode in modes]
        rounded = [quantized_rank(rank, size, self.quantum) for rank, size in zip(ranks, sizes, strict=True)]
        return lowered(rounded, shape, modes)


def check_quantum(where: str, quantum: object) -> None:
    """Raise OptionError unless the quantum is a whole number of at least 1."""
    if isinstance(quantum, bool) or not isinstance(quantum, Integral) or quantum < 1:
        raise OptionError(
            f"{where}: quantum must be a whole number of at least 1, got {quantum!r}; 16 suits kernels."
        )
