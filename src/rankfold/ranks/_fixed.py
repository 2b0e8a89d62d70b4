"""One rank for all."""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral

from rankfold._errors import OptionError
from rankfold.ranks._policy import ShapeRule, lowered

__all__ = ["Fixed"]


@dataclass(frozen=True, slots=True)
class Fixed(ShapeRule):
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
            raise OptionError(
                f"Fixed: rank must be a whole number of at least 1, got {self.rank!r}; pass one."
            )

    def __call__(self, shape: Sequence[int], modes: Sequence[int]) -> tuple[int, ...]:
        """Ranks for a weight of ``shape`` factorised along ``modes``."""
        return lowered([int(self.rank)] * len(modes), shape, modes)
