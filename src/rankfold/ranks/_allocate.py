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
    Lagrange multiplier method"), which is optimal for the budget at which it stops. What is left is then spent
    on the best single changes that still fit, until none does, so that no weight could be improved alone.

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
    chosen = [hull[0] for hull in hulls]
    spent = sum(float(each.costs[index]) for each, index in zip(options, chosen, strict=True))
    if spent > budget:
        return None
    steps = sorted(
        (
            (_slope(options[number], before, after), number, before, after)
            for number, hull in enumerate(hulls)
            for before, after in pairwise(hull)
        ),
        key=lambda step: -step[0],
    )
    for _, number, before, after in steps:
        price = float(options[number].costs[after] - options[number].costs[before])
        if chosen[number] != before or spent + price > budget:
            continue
        chosen[number], spent = after, spent + price
    return _filled(options, chosen, budget - spent)


def _slope(options: Options, before: int, after: int) -> float:
    return float(
        (options.errors[before] - options.errors[after]) / (options.costs[after] - options.costs[before])
    )


def _lower_hull(options: Options) -> list[int]:
    """Indices of the vertices of the lower convex hull, from the cheapest to the first of the least error."""
    costs, errors = options.costs.tolist(), options.errors.tolist()
    order = sorted(range(len(costs)), key=lambda index: (costs[index], errors[index]))
    hull: list[int] = []
    for index in order:
        if hull and errors[index] >= errors[hull[-1]]:
            continue
        while len(hull) > 1 and _slope(options, hull[-1], index) >= _slope(options, hull[-2], hull[-1]):
            hull.pop()
        hull.append(index)
    return hull


def _filled(options: Sequence[Options], chosen: list[int], left: float) -> list[int]:
    """Spend what is left on the changes of one weight with the largest gain per cost."""
    while True:
        best: tuple[float, int, int] | None = None
        for number, (each, index) in enumerate(zip(options, chosen, strict=True)):
            prices, gains = each.costs - each.costs[index], each.errors[index] - each.errors
            free = (prices <= 0) & (gains > 0)
            if bool(free.any()):
                rate, candidate = float("inf"), int(torch.where(free, gains, -torch.inf).argmax())
            else:
                fits = (prices > 0) & (prices <= left) & (gains > 0)
                rates = torch.where(
                    fits, gains / prices.clamp_min(torch.finfo(prices.dtype).tiny), -torch.inf
                )
                candidate = int(rates.argmax())
                rate = float(rates[candidate])
            if rate > 0 and (best is None or rate > best[0]):
                best = (rate, number, candidate)
        if best is None:
            return chosen
        _, number, candidate = best
        left -= float(options[number].costs[candidate] - options[number].costs[chosen[number]])
        chosen[number] = candidate
