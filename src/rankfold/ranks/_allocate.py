"""Spend a budget over several weights where it reduces the error most."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

__all__ = ["Options", "allocate"]


@dataclass(frozen=True, slots=True)
class Options:
    """What can be done with one weight.

    Arguments:
        costs: float64 ``(n,)``.
        errors: float64 ``(n,)``, on the same scale for all weights.
    """

    costs: Tensor
    errors: Tensor


def allocate(options: Sequence[Options], budget: float) -> list[int] | None:
    """One option per weight, so that the sum of the errors is small and the sum of the costs within a budget.

    All weights start with their cheapest option and walk along the lower convex hull of error against cost, the
    step with the largest gain per cost first: the solution of the relaxed problem (Everett 1963, "Generalized
    Lagrange multiplier method"), which is optimal for the cost at which each of these steps ends. What is left
    where a step does not fit is spent on the single changes with the largest gain per cost, until none fits that
    would help, so that no weight could be improved alone.

    Arguments:
        options: at least one per weight.
        budget: largest sum of costs.

    Returns:
        The index of the chosen option of each weight, or None where even the cheapest cost too much.

    Example:
        >>> import torch
        >>> steep = Options(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([9.0, 1.0, 0.0]))
        >>> flat = Options(torch.tensor([1.0, 2.0]), torch.tensor([2.0, 1.0]))
        >>> allocate([steep, flat], 3.5), allocate([steep, flat], 1.5)
        ([1, 0], None)
    """
    hulls = [_lower_hull(each) for each in options]
    chosen = [hull[0].index for hull in hulls]
    spent = sum(hull[0].cost for hull in hulls)
    if spent > budget:
        return None
    steps = [
        (before.slope(after), number, before, after)
        for number, hull in enumerate(hulls)
        for before, after in pairwise(hull)
    ]
    for _, number, before, after in sorted(steps, key=lambda step: -step[0]):
        if spent + after.cost - before.cost > budget:
            break  # what does not fit may in part, which is better than a whole step that gains less
        chosen[number] = after.index
        spent += after.cost - before.cost
    return _filled(options, chosen, budget - spent)


@dataclass(frozen=True, slots=True)
class _Vertex:
    cost: float
    error: float
    index: int

    def slope(self, after: "_Vertex") -> float:
        return (self.error - after.error) / (after.cost - self.cost)


def _lower_hull(options: Options) -> list[_Vertex]:
    """Vertices of the lower convex hull, from the cheapest to the first of the least error."""
    points = zip(options.costs.tolist(), options.errors.tolist(), range(len(options.costs)), strict=True)
    hull: list[_Vertex] = []
    for point in sorted(points):
        vertex = _Vertex(*point)
        if hull and vertex.error >= hull[-1].error:
            continue
        while len(hull) > 1 and hull[-1].slope(vertex) >= hull[-2].slope(hull[-1]):
            hull.pop()
        hull.append(vertex)
    return hull


def _filled(options: Sequence[Options], chosen: list[int], left: float) -> list[int]:
    """Spend what is left on the changes of one weight with the largest gain per cost."""
    best = [_best_change(each, index, left) for each, index in zip(options, chosen, strict=True)]
    while True:
        # What was best with more left may not fit any more; then another change of the same weight may.
        for number, (_, price, _) in enumerate(best):
            if price > left:
                best[number] = _best_change(options[number], chosen[number], left)
        number = max(range(len(best)), key=lambda number: best[number][0])
        rate, price, index = best[number]
        if rate <= 0:
            return chosen
        chosen[number], left = index, left - price
        best[number] = _best_change(options[number], index, left)


def _best_change(options: Options, index: int, left: float) -> tuple[float, float, int]:
    """Gain per cost of the best change that fits, its price, and what it changes to; 0 where none helps."""
    prices, gains = options.costs - options.costs[index], options.errors[index] - options.errors
    rates = torch.where(prices > 0, gains / prices.where(prices > 0, 1.0), gains * torch.inf)
    rates = torch.where((prices <= left) & (gains > 0), rates, 0.0)
    found = int(rates.argmax())
    return float(rates[found]), float(prices[found]), found
