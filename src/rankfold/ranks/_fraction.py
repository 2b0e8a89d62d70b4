"""A share of the full rank."""

from collections.abc import Sequence
from dataclasses import dataclass

from rankfold._errors import OptionError
from rankfold.formats import full_ranks
from rankfold.ranks._amount import is_share
from rankfold.ranks._policy import ShapeRule, lowered

__all__ = ["Fraction"]


@dataclass(frozen=True, slots=True)
class Fraction(ShapeRule):
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
        if not is_share(self.share):
            raise OptionError(
                f"Fraction: share must lie in (0, 1], got {self.share!r}; 0.5 is half the full rank."
            )

    def __call__(self, shape: Sequence[int], modes: Sequence[int]) -> tuple[int, ...]:
        """Ranks for a weight of ``shape`` factorised along ``modes``."""
        return lowered([max(1, round(self.share * full)) for full in full_ranks(shape, modes)], shape, modes)
