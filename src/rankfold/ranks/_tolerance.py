"""Ranks from the error that truncation may make."""

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

from rankfold._errors import OptionError
from rankfold.ranks._cheapest import cheapest
from rankfold.ranks._form import Choice
from rankfold.ranks._weight_view import WeightView

__all__ = ["Tolerance"]


@dataclass(frozen=True, slots=True)
class Tolerance:
    """The smallest ranks at which each weight changes by at most a share of its norm.

    The error is that of the whole tensor, all modes together, read off the core of the full HOSVD instead of
    adding up a bound for each mode. Of all ranks within it, along all modes that the weight may be factorised in,
    those are taken that fold to the fewest parameters. A weight for which they save none stays dense.

    Arguments:
        tolerance: relative error in the Frobenius norm, in [0, 1); weighted where calibration data weight it.

    Raises:
        OptionError: a tolerance outside [0, 1).

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from rankfold import factorize
        >>> model = nn.Sequential(nn.Linear(4, 4))
        >>> model[0].weight.data = torch.diag(torch.tensor([4.0, 3.0, 0.0, 0.0]))
        >>> [row.ranks for row in factorize(model, Tolerance(0.6))], [
        ...     row.reason for row in factorize(nn.Sequential(nn.Linear(4, 4)), Tolerance(0.01))
        ... ]
        ([(1, 1)], ['kept dense: at this tolerance low rank saves no parameters'])
    """

    tolerance: float

    def __post_init__(self) -> None:
        number = isinstance(self.tolerance, Real) and not isinstance(self.tolerance, bool)
        if not number or not 0 <= self.tolerance < 1:
            raise OptionError(
                f"Tolerance: tolerance must lie in [0, 1), got {self.tolerance!r}; 0.1 is an error of 10 percent."
            )

    def choose(self, weights: Sequence[WeightView]) -> list[Choice | str]:
        """Ranks for each weight, or the reason to keep it dense."""
        return [cheapest(weight, self.tolerance**2, "tolerance") for weight in weights]
