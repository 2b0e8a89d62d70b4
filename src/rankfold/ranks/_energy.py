"""Ranks that keep a share of the squared norm."""

from collections.abc import Sequence
from dataclasses import dataclass

from rankfold._errors import OptionError
from rankfold.ranks._amount import is_share
from rankfold.ranks._cheapest import cheapest
from rankfold.ranks._form import Choice
from rankfold.ranks._weight_view import WeightView

__all__ = ["Energy"]


@dataclass(frozen=True, slots=True)
class Energy:
    """The smallest ranks whose core keeps a share of the squared norm of each weight.

    The share is that of the whole core, all modes together, so ``Energy(share)`` is
    ``Tolerance((1 - share) ** 0.5)``. Of all ranks that keep it, along all modes that the weight may be factorised
    in, those are taken that fold to the fewest parameters. A weight for which they save none stays dense, and so
    do most at a share of 1, which gives up nothing but directions of zero singular value.

    Arguments:
        share: in (0, 1].

    Raises:
        OptionError: a share outside (0, 1].

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from rankfold import factorize
        >>> model = nn.Sequential(nn.Linear(4, 4))
        >>> model[0].weight.data = torch.diag(torch.tensor([3.0, 1.0, 0.0, 0.0]))
        >>> [row.ranks for row in factorize(model, Energy(0.9))]  # 9 of 9 + 1
        [(1, 1)]
    """

    share: float

    def __post_init__(self) -> None:
        if not is_share(self.share):
            raise OptionError(
                f"Energy: share must lie in (0, 1], got {self.share!r}; 0.9 keeps 90 percent of the squared norm."
            )

    def choose(self, weights: Sequence[WeightView]) -> list[Choice | str]:
        """Ranks for each weight, or the reason to keep it dense."""
        return [cheapest(weight, 1 - self.share, "share") for weight in weights]
