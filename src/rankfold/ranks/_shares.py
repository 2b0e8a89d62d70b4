"""A share of the full rank for each weight."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rankfold.ranks._form import Choice
from rankfold.ranks._fraction import Fraction
from rankfold.ranks._weight_view import WeightView

__all__ = ["Shares"]


@dataclass(frozen=True, slots=True)
class Shares:
    """A share of the largest rank each mode can have, the same for all weights but for some that are named.

    Arguments:
        share: in (0, 1].
        raised: other shares by the name of the first layer that has the weight.

    Raises:
        OptionError: a share outside (0, 1].

    Example:
        >>> Shares(0.25, {"head": 0.5}).share_of("head")
        0.5
    """

    share: float
    raised: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for share in (self.share, *self.raised.values()):
            Fraction(share)

    def share_of(self, name: str) -> float:
        """The share of a weight."""
        return self.raised.get(name, self.share)

    def choose(self, weights: Sequence[WeightView]) -> list[Choice | str]:
        """Ranks along the usual modes of each weight."""
        return [
            choice for weight in weights for choice in Fraction(self.share_of(weight.name)).choose([weight])
        ]
