"""Ranks from what they do to a loss, measured."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn

from rankfold._errors import NonFiniteError, OptionError
from rankfold.ranks._allocate import Options
from rankfold.ranks._amount import check_amount
from rankfold.ranks._form import Choice
from rankfold.ranks._menu import Menu
from rankfold.ranks._spend import parameter_menus, spend
from rankfold.ranks._weight_view import WeightView

__all__ = ["Sensitivity"]


@dataclass(frozen=True, slots=True)
class Sensitivity:
    """The ranks within a budget of parameters that raise a measured loss least.

    The loss of the model is measured with one weight at a time at a few of its best ranks, from the lowest to the
    highest, the other weights dense. Between them it is taken to grow evenly with the squared truncation error,
    and what several weights add to it is taken to add up. Then the budget is spent as :class:`rankfold.Budget`
    spends it, where it reduces the loss most. It takes at most ``levels`` evaluations for each weight and one
    for the dense model, so a batch that shows the difference is better than a whole data set.

    Arguments:
        evaluate: gives the loss of the model it is passed, lower is better, as a number; it runs without gradients,
            with the model in the mode that it is in.
        params: parameters of the whole model: a float in (0, 1] is a share of the dense model, a whole number a count.
        levels: largest number of ranks at which a weight is measured, at least 2.

    Raises:
        OptionError: an argument out of range; in ``choose``, a budget that even rank 1 everywhere exceeds, or
            an ``evaluate`` that returns no number.
        NonFiniteError: in ``choose``, a loss that is NaN or infinite; the weights are as they were.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from rankfold import factorize, fold
        >>> inputs = torch.randn(32, 20, generator=torch.Generator().manual_seed(0))
        >>> model = nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 20))
        >>> wanted = model(inputs).detach()
        >>> policy = Sensitivity(lambda model: nn.functional.mse_loss(model(inputs), wanted), params=0.5, levels=4)
        >>> _ = factorize(model, policy)
        >>> sum(parameter.numel() for parameter in fold(model).parameters()) <= 0.5 * 1250
        True
    """

    evaluate: Callable[[nn.Module], Any]
    params: float
    levels: int = 8

    def __post_init__(self) -> None:
        if not callable(self.evaluate):
            raise OptionError(
                f"Sensitivity: evaluate must be a function of the model, got {self.evaluate!r}; pass one that gives "
                "its loss."
            )
        check_amount("Sensitivity", "params", self.params)
        if isinstance(self.levels, bool) or not isinstance(self.levels, Integral) or self.levels < 2:
            raise OptionError(
                f"Sensitivity: levels must be a whole number of at least 2, got {self.levels!r}; 8 is usual."
            )

    def choose(self, weights: Sequence[WeightView]) -> list[Choice | str]:
        """Ranks for each weight, or the reason to keep it dense."""
        if not weights:
            return []
        menus, total = parameter_menus(weights)
        dense = sum(weight.weight.numel() for weight in weights)
        with torch.no_grad():
            loss = self._loss(weights[0].model, "the dense model")
            menus = [
                self._measured(weight, offered, loss) for weight, offered in zip(weights, menus, strict=True)
            ]
        return spend("Sensitivity: params", menus, self.params, total, dense, "parameters")

    def _measured(self, weight: WeightView, offered: Menu, dense_loss: float) -> Menu:
        """The menu with increases of the loss for errors."""
        costs, errors = offered.options.costs, offered.options.errors
        # The last entry is as good as dense: its increase is 0 and need not be measured.
        measured = _spread(costs[:-1].tolist(), int(self.levels))
        rises = [self._loss_at(weight, offered.choice(index)) - dense_loss for index in measured]
        known = torch.tensor([*rises, 0.0], dtype=torch.float64).clamp_min(0)
        # Chance may make a larger error look harmless, which is not to be relied on.
        known = known.flip(0).cummax(0).values
        at = torch.cat([errors[measured], errors[-1:]]).flip(0)
        return replace(offered, options=Options(costs, _between(errors, at, known))).reduced()

    def _loss_at(self, weight: WeightView, choice: Choice | None) -> float:
        assert choice is not None
        live, original = weight.weight.data, weight.weight.detach().clone()
        try:
            live.copy_(weight.approximation(choice))
            return self._loss(weight.model, f"layer {weight.name!r} at ranks {choice.ranks}")
        finally:
            live.copy_(original)

    def _loss(self, model: nn.Module, what: str) -> float:
        value = self.evaluate(model)
        try:
            loss = float(value)
        except (TypeError, ValueError, RuntimeError) as error:
            raise OptionError(
                f"Sensitivity: evaluate must return the loss as one number, got {type(value).__name__} for {what}; "
                "return loss.mean() or the like."
            ) from error
        if not isfinite(loss):
            raise NonFiniteError(
                f"Sensitivity: the loss is {loss} for {what}; exclude the layer, or evaluate on other inputs."
            )
        return loss


def _spread(costs: list[float], count: int) -> list[int]:
    """Indices of at most so many costs, evenly spaced by their logarithm, from the first to the last."""
    if len(costs) <= count:
        return list(range(len(costs)))
    logs = torch.tensor(costs, dtype=torch.float64).log()
    wanted = torch.linspace(float(logs[0]), float(logs[-1]), count, dtype=torch.float64)
    return sorted({int((logs - value).abs().argmin()) for value in wanted})


def _between(errors: Tensor, known: Tensor, values: Tensor) -> Tensor:
    """Values at errors, piecewise linear between the known ones, which rise."""
    right = torch.searchsorted(known, errors.contiguous()).clamp(1, max(len(known) - 1, 1))
    if len(known) == 1:
        return values.expand(len(errors))
    low, high = known[right - 1], known[right]
    share = ((errors - low) / (high - low)).clamp(0, 1)
    return values[right - 1] + share * (values[right] - values[right - 1])
