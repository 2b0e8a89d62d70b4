"""What can be done with each weight by measured time, and which ranks are faster than the dense layer."""

from collections.abc import Sequence
from functools import partial, reduce
from operator import add
from typing import Any

import torch
from torch import Tensor, nn

from rankfold.convert import _timing
from rankfold.convert._latency import description, rank_levels
from rankfold.layers import FactorizedLayer
from rankfold.ranks import QUANTUM, Allowed, Form, Menu, Options, WeightView, forms, grid_errors

__all__ = ["faster_ranks", "timed_menus"]

# Choice of this library: so many ranks are timed along each set of modes, about 30 ms each for each kind of layer.
_LEVELS = 8
# Likewise: ranks count as faster that save at least this share of the time, more than two measurements differ by.
_GAIN = 0.03

#: Ranks by the number of their form, and their time over the dense time.
_Ratios = list[tuple[int, tuple[int, ...], float]]


def timed_menus(weights: Sequence[WeightView]) -> tuple[list[Menu], float]:
    """Ranks that are multiples of the kernels' quantum, timed against the dense layers.

    Arguments:
        weights: each with a layer that the model calls on the example inputs.

    Returns:
        One menu per weight, and the seconds of all dense layers together.
    """
    measured = _measured_once(weights)
    menus = [_menu(weight, dense, ratios) for weight, (dense, ratios) in zip(weights, measured, strict=True)]
    return menus, sum(dense for dense, _ in measured)


def faster_ranks(weights: Sequence[WeightView]) -> list[Allowed]:
    """For each weight the rule which ranks are measurably faster than its dense layers.

    A layer gets no slower with lower ranks, so all ranks up to a fast one are fast.

    Arguments:
        weights: as of :func:`timed_menus`.
    """
    return [partial(_faster_rows, ratios) for _, ratios in _measured_once(weights)]


def _faster_rows(ratios: _Ratios, number: int, form: Form) -> Tensor:
    allowed = torch.zeros(len(form.grid[0]), dtype=torch.bool)
    for way, ranks, ratio in ratios:
        if way == number and ratio <= 1 - _GAIN:
            allowed |= torch.stack(
                [column <= rank for column, rank in zip(form.grid, ranks, strict=True)]
            ).all(0)
    return allowed


def _measured_once(weights: Sequence[WeightView]) -> list[tuple[float, _Ratios]]:
    """Seconds of the dense layers and ratios of each weight; layers that are alike are measured once."""
    known: list[tuple[list[Any], tuple[float, _Ratios]]] = []
    answers = []
    for weight in weights:
        alike = [description(use, weight) for use in weight.uses]
        answer = next((earlier for description_, earlier in known if description_ == alike), None)
        if answer is None:
            answer = _measured(weight)
            known.append((alike, answer))
        answers.append(answer)
    return answers


def _measured(weight: WeightView) -> tuple[float, _Ratios]:
    uses = weight.called
    dense, ratios = None, []
    for number, form in enumerate(forms(weight)):
        levels = (
            []
            if all(use.is_lookup for use in uses)
            else _spread(rank_levels(form.shape, form.modes, QUANTUM))
        )
        timings = []
        for use in uses:
            sides = [use.module, *(_folded(use.build(form.modes, ranks)) for ranks in levels)]
            timings.append(_timing.time_layers(sides, use.calls))
        timing = reduce(add, timings)
        dense = timing.seconds(0) if dense is None else dense
        ratios += [(number, ranks, timing.ratio(side)) for side, ranks in enumerate(levels, start=1)]
    assert dense is not None
    return dense, ratios


def _folded(layer: nn.Module) -> nn.Module:
    """The plain layers that will stand for a factorised one."""
    assert isinstance(layer, FactorizedLayer)
    return layer.eval().folded()


def _menu(weight: WeightView, dense: float, ratios: _Ratios) -> Menu:
    ways = list(forms(weight))
    rows = [_row(ways[number], ranks) for number, ranks, _ in ratios]
    errors = [grid_errors(weight, form) for form in ways]
    faster = [index for index, (_, _, ratio) in enumerate(ratios) if ratio < 1]
    costs = [dense, *(ratios[index][2] * dense for index in faster)]
    lost = [0.0, *(float(errors[ratios[index][0]][rows[index]]) for index in faster)]
    entries = [(-1, -1), *((ratios[index][0], rows[index]) for index in faster)]
    options = Options(torch.tensor(costs, dtype=torch.float64), torch.tensor(lost, dtype=torch.float64))
    return Menu(options, ways, torch.tensor(entries)).reduced()


def _row(form: Form, ranks: tuple[int, ...]) -> int:
    same = torch.stack([column == rank for column, rank in zip(form.grid, ranks, strict=True)])
    return int(same.all(0).nonzero()[0])


def _spread(levels: list[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """At most so many of the levels, evenly spaced, from the first to the last."""
    if len(levels) <= _LEVELS:
        return levels
    return [levels[round(step * (len(levels) - 1) / (_LEVELS - 1))] for step in range(_LEVELS)]
