"""All that can be done with one weight, reduced to what is worth its cost."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rankfold.ranks._allocate import Options
from rankfold.ranks._form import Choice, Form
from rankfold.ranks._weight_view import WeightView

__all__ = ["Allowed", "Cost", "Menu", "forms", "grid_errors", "menu"]

#: Costs of a weight in a form at many ranks, one column per mode.
Cost = Callable[[Form, Sequence[Tensor]], Tensor]
#: Rows of the grid of a form, given with its number, that may be chosen.
Allowed = Callable[[int, Form], Tensor]

# Of two errors that differ by less than this share, which is that of rounding, the cheaper form is as good.
_SAME = 1e-12


@dataclass(frozen=True, slots=True)
class Menu:
    """What can be done with a weight.

    Arguments:
        options: cost and error of each entry.
        forms: the ways to write the weight.
        entries: int64 ``(n, 2)``: number of the form and row of its grid; -1 for the dense weight.
    """

    options: Options
    forms: Sequence[Form]
    entries: Tensor

    def reduced(self) -> "Menu":
        """The entries that are better than all cheaper ones, by rising cost; of equals the first."""
        front = _front(self.options.costs, self.options.errors)
        options = Options(self.options.costs[front], self.options.errors[front])
        return Menu(options, self.forms, self.entries[front])

    def choice(self, index: int) -> Choice | None:
        """What an entry stands for; None is the dense weight."""
        way, row = self.entries[index].tolist()
        if way < 0:
            return None
        form = self.forms[way]
        return Choice(form.modes, tuple(int(column[row]) for column in form.grid))


def forms(weight: WeightView) -> Iterator[Form]:
    """The ways to write a weight, those with fewer factors first: at equal cost and error they are simpler."""
    return map(weight.form, sorted(weight.modes, key=len))


def menu(weight: WeightView, cost: Cost, dense_cost: float, allowed: Allowed | None = None) -> Menu:
    """All ranks along all modes that the weight may be written in, and the dense weight, reduced.

    Arguments:
        weight: the weight.
        cost: what ranks cost.
        dense_cost: what the dense weight costs; what costs no less is left out.
        allowed: which rows of the grid of a form, given with its number, are on the menu; None means all.
    """
    ways = list(forms(weight))
    costs, errors = [torch.tensor([dense_cost]).double()], [torch.zeros(1).double()]
    entries = [torch.tensor([[-1, -1]])]
    for number, form in enumerate(ways):
        price = cost(form, form.grid).double()
        open_rows = price < dense_cost
        if allowed is not None:
            open_rows &= allowed(number, form)
        rows = open_rows.nonzero()[:, 0]
        costs.append(price[rows])
        errors.append(grid_errors(weight, form)[rows])
        entries.append(torch.stack([torch.full_like(rows, number), rows], 1))
    return Menu(Options(torch.cat(costs), torch.cat(errors)), ways, torch.cat(entries)).reduced()


def grid_errors(weight: WeightView, form: Form) -> Tensor:
    """Error of the weight at each row of the form's grid."""
    lost = torch.where(form.losses > weight.rounding * form.total, form.losses, 0.0)
    # On one scale for all weights: the estimated loss, or else the share of the weight.
    return lost if weight.calibrated or form.total == 0 else lost / form.total


def _front(costs: Tensor, errors: Tensor) -> Tensor:
    order = costs.argsort(stable=True)
    costs, errors = costs[order], errors[order]
    best = errors.cummin(0).values
    before = torch.cat([best.new_full((1,), torch.inf), best[:-1]])
    better = (errors < before * (1 - _SAME)).nonzero()[:, 0]
    # Of equal costs the last is the best.
    last = torch.ones_like(better, dtype=torch.bool)
    last[:-1] = costs[better[1:]] > costs[better[:-1]]
    return order[better[last]]
