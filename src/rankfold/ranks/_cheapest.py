"""The cheapest ranks within an error."""

import torch

from rankfold.ranks._form import Choice
from rankfold.ranks._menu import forms
from rankfold.ranks._weight_view import WeightView

__all__ = ["cheapest"]

# Sums of squares in float64 are exact to about this share; ties must not fall to the dearer side by rounding.
_TIE = 1e-14


def cheapest(weight: WeightView, share: float, at_this: str) -> Choice | str:
    """The ranks with the fewest parameters at which at most a share of the energy is lost.

    Arguments:
        weight: the weight; all modes it may be factorised along are tried.
        share: of the energy, in [0, 1); what rounding alone may amount to is allowed in any case.
        at_this: name of what the share comes from, for the reason.

    Returns:
        The ranks, of equally cheap ones those along fewer modes and then those that lose least; or the reason to
        keep the weight dense.
    """
    best: tuple[int, float] | None = None
    choice = None
    for form in forms(weight):
        allowed = max(share * (1 + _TIE) + (_TIE if share else 0), weight.rounding) * form.total
        within = form.losses <= allowed
        columns = [column[within] for column in form.grid]
        costs, losses = form.parameters_at(columns), form.losses[within]
        least = int(costs.min())
        losses = torch.where(costs == least, losses, torch.inf)
        row = int(losses.argmin())
        if best is None or least < best[0]:
            best = (least, float(losses[row]))
            choice = Choice(form.modes, tuple(int(column[row]) for column in columns))
    assert best is not None
    assert choice is not None
    if best[0] >= weight.weight.numel():
        return f"kept dense: at this {at_this} low rank saves no parameters"
    return choice
