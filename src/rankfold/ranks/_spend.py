"""Ranks of all weights together from a budget of the whole model."""

from collections.abc import Sequence
from math import ceil

from rankfold._errors import OptionError
from rankfold.ranks._allocate import allocate
from rankfold.ranks._amount import absolute
from rankfold.ranks._form import Choice
from rankfold.ranks._menu import Allowed, Menu, menu
from rankfold.ranks._weight_view import WeightView

__all__ = ["parameter_menus", "spend"]


def parameter_menus(
    weights: Sequence[WeightView], allowed: Sequence[Allowed | None] | None = None
) -> tuple[list[Menu], int]:
    """What can be done with each weight by number of parameters, and the number of the whole dense model.

    A parameter that several modules share counts once.

    Arguments:
        weights: the weights.
        allowed: for each which ranks are on its menu; None means all.
    """
    rules = [None] * len(weights) if allowed is None else allowed
    menus = [
        menu(weight, lambda form, columns: form.parameters_at(columns), weight.weight.numel(), rule)
        for weight, rule in zip(weights, rules, strict=True)
    ]
    return menus, sum(parameter.numel() for parameter in weights[0].model.parameters())


def spend(
    where: str, menus: Sequence[Menu], amount: float, total: float, dense: float, unit: str
) -> list[Choice | str]:
    """Choose one entry of each menu within a budget.

    Arguments:
        where: what the budget is given to, for the message.
        menus: one per weight.
        amount: share of the total, or a count.
        total: cost of the whole dense model.
        dense: cost of these weights when dense; the rest of the model costs what it costs.
        unit: of costs, in the plural.

    Raises:
        OptionError: even the lowest ranks cost more.
    """
    rest = total - dense
    chosen = allocate([each.options for each in menus], absolute(amount, total) - rest)
    if chosen is None:
        least = rest + sum(float(each.options.costs.min()) for each in menus)
        raise OptionError(
            f"{where}: {amount!r} cannot be reached: of {total:,.6g} {unit} {rest:,.6g} are outside of the layers "
            f"to factorise, and at lowest ranks {least:,.6g} remain; allow at least a share of {_ceil(least / total)}."
        )
    choices = [each.choice(index) for each, index in zip(menus, chosen, strict=True)]
    return [choice or "kept dense: within the budget no rank is worth its error" for choice in choices]


def _ceil(share: float) -> float:
    return ceil(share * 1e4) / 1e4
