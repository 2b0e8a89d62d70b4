"""Rules that turn the shape of a weight into ranks."""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral, Real
from typing import Protocol, runtime_checkable

from rankfold._errors import OptionError
from rankfold.formats import feasible_ranks, full_ranks

__all__ = ["Fixed", "Fraction", "RankPolicy", "as_policy", "lowered"]


@runtime_checkable
class RankPolicy(Protocol):
    """A rule that gives one rank per factorised mode of a weight."""

    def __call__(self, shape: Sequence[int], modes: Sequence[int]) -> tuple[int, ...]:
        """Ranks for a weight of ``shape`` factorised along ``modes``."""
        ...


@dataclass(frozen=True, slots=True)
class Fixed:
    """The same rank for every layer and mode, lowered where a shape allows less.

    Arguments:
        rank: at least 1.

    Raises:
        OptionError: a rank below 1.

    Example:
        >>> Fixed(8)((64, 3, 3, 3), (0, 1))
        (8, 3)
    """

    rank: int

    def __post_init__(self) -> None:
        if isinstance(self.rank, bool) or not isinstance(self.rank, Integral) or self.rank < 1:
            raise OptionError(f"Fixed: rank must be a whole number of at least 1, got {self.rank!r}.")

    def __call__(self, shape: Sequence[int], modes: Sequence[int]) -> tuple[int, ...]:
        """Ranks for a weight of ``shape`` factorised along ``modes``."""
        return lowered([int(self.rank)] * len(modes), shape, modes)


@dataclass(frozen=True, slots=True)
class Fraction:
    """A share of the largest rank each mode can have, rounded, at least 1.

    Arguments:
        share: in (0, 1]; 1 is full rank, which changes nothing but rounding.

    Raises:
        OptionError: a share outside (0, 1].

    Example:
        >>> Fraction(0.25)((500, 800), (0, 1))
        (125, 125)
    """

    share: float

    def __post_init__(self) -> None:
        if isinstance(self.share, bool) or not 0 < self.share <= 1:
            raise OptionError(
                f"Fraction: share must lie in (0, 1], got {self.share!r}; 0.5 is half the full rank."
            )

    def __call__(self, shape: Sequence[int], modes: Sequence[int]) -> tuple[int, ...]:
        """Ranks for a weight of ``shape`` factorised along ``modes``."""
        return lowered([max(1, round(self.share * full)) for full in full_ranks(shape, modes)], shape, modes)


def as_policy(rank: RankPolicy | int | float) -> RankPolicy:
    """Read a number as a policy: a whole number is :class:`Fixed`, a fraction is :class:`Fraction`.

    Arguments:
        rank: a policy, an int of at least 1, or a float in (0, 1].

    Returns:
        The policy.

    Raises:
        OptionError: neither a policy nor a number in range.

    Example:
        >>> as_policy(8), as_policy(0.5)
        (Fixed(rank=8), Fraction(share=0.5))
    """
    if isinstance(rank, Integral):
        return Fixed(int(rank) if not isinstance(rank, bool) else rank)
    if isinstance(rank, Real):
        return Fraction(float(rank))
    if callable(rank) and not isinstance(rank, type):
        return rank
    raise OptionError(
        f"rank: got {rank!r}; pass a policy such as Fraction(0.5), a whole number of at least 1, or a float in (0, 1]."
    )


def lowered(ranks: list[int], shape: Sequence[int], modes: Sequence[int]) -> tuple[int, ...]:
    """Ranks no larger than the shape allows, alone and against each other."""
    core = list(shape)
    for mode, rank, full in zip(modes, ranks, full_ranks(shape, modes), strict=True):
        core[mode] = min(rank, full)
    return feasible_ranks(core, modes)
