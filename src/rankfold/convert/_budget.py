"""Ranks of all layers together from a budget of the whole model."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from rankfold._errors import OptionError
from rankfold.convert._parity import evaluate
from rankfold.convert._timed_menus import faster_ranks, timed_menus
from rankfold.ranks import (
    Allowed,
    Choice,
    Menu,
    WeightView,
    check_amount,
    is_share,
    menu,
    parameter_menus,
    spend,
)

__all__ = ["Budget"]


@dataclass(frozen=True, eq=False)
class Budget:
    """The ranks at which all weights together cost no more than a budget and lose as little as they can.

    Every weight is offered all ranks, along all modes that it may be factorised in, and to stay dense. The one
    budget of the whole model goes where it reduces the error most: the steps of all weights are sorted by lost
    squares saved per cost, and what is left at the end buys the best single steps that still fit, until no rank
    of any weight could be raised within the budget to lower its error. The error of a weight is the share of its
    squared norm that is lost, or the estimated rise of the loss where calibration data tell it. Costs are those of
    the folded model.

    Arguments:
        params: parameters of the whole model: a float in (0, 1] is a share of the dense model, a whole number a
            count. What modules share counts once, and what is not factorised counts too.
        flops: multiply-adds of one run of the whole model on the example inputs; a share or a count.
        latency: time of the layers that can be factorised on the example inputs, measured on this machine one by
            one, at ranks that are multiples of 16; a share in (0, 1] of the dense time.
        faster: leave out the ranks at which a layer is not measurably faster than dense, folded and run on the example
            inputs on this machine. A layer that has none stays dense.
        example_inputs: for ``flops``, ``latency`` and ``faster``: a tensor, a tuple of arguments or a mapping of
            keyword arguments for the model, of the size, memory format and device that it will be used with. With
            calibration data :func:`rankfold.compress` takes the first batch of these.

    Raises:
        OptionError: not exactly one budget, an amount out of range, or needless example inputs; in ``choose``, missing
            ones, or a budget that even rank 1 everywhere exceeds, with the least that is possible.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from rankfold import factorize
        >>> model = nn.Sequential(nn.Linear(100, 50), nn.ReLU(), nn.Linear(50, 10))  # 5560 parameters, 60 in biases
        >>> conversion = factorize(model, Budget(params=0.2))
        >>> 0.17 < (sum(row.parameters_after for row in conversion) + 60) / 5560 < 0.25
        True
    """

    params: float | None = None
    flops: float | None = None
    latency: float | None = None
    faster: bool = False
    example_inputs: Any = field(default=None, repr=False)
    training: bool = field(default=False, init=False, repr=False)

    def __post_init__(self) -> None:
        given = {name: value for name, value in self._amounts().items() if value is not None}
        if len(given) != 1:
            raise OptionError(
                f"Budget: got {len(given)} of params, flops and latency; pass exactly one, as in Budget(params=0.2)."
            )
        ((name, value),) = given.items()
        if name != "latency":
            check_amount("Budget", name, value)
        elif not is_share(value):
            raise OptionError(
                f"Budget: latency must lie in (0, 1], a share of the dense time, got {value!r}; 0.5 is half the time."
            )
        if name == "params" and not self.faster and self.example_inputs is not None:
            raise OptionError("Budget: params does not depend on example_inputs; leave them out.")

    @property
    def measures(self) -> bool:
        """Whether the choice depends on example inputs."""
        return self.params is None or self.faster

    def _amounts(self) -> dict[str, float | None]:
        return {"params": self.params, "flops": self.flops, "latency": self.latency}

    def choose(self, weights: Sequence[WeightView]) -> list[Choice | str]:
        """Ranks for each weight, or the reason to keep it dense.

        Raises:
            OptionError: even the lowest ranks exceed the budget.
        """
        if not weights:
            return []
        if self.measures and self.example_inputs is None:
            name = "speed" if self.params is not None else "latency" if self.flops is None else "flops"
            raise OptionError(
                f"Budget: example_inputs is None; pass what the model is called with, for its {name} depends on it."
            )
        allowed = faster_ranks(weights) if self.faster and self.latency is None else [None] * len(weights)
        if self.params is not None:
            menus, total = parameter_menus(weights, allowed)
            dense = sum(weight.weight.numel() for weight in weights)
            return spend("Budget: params", menus, self.params, total, dense, "parameters")
        if self.flops is not None:
            menus = [_by_multiplications(*pair) for pair in zip(weights, allowed, strict=True)]
            dense = sum(weight.dense_multiplications() for weight in weights)
            total = _multiplications(weights[0].model, self.example_inputs)
            return spend("Budget: flops", menus, self.flops, max(total, dense), dense, "multiply-adds")
        assert self.latency is not None
        menus, dense = timed_menus(weights)
        return spend("Budget: latency", menus, self.latency, dense, dense, "seconds")


def _by_multiplications(weight: WeightView, allowed: Allowed | None) -> Menu:
    positions, lookups = weight.positions, weight.lookups
    return menu(
        weight,
        lambda form, columns: form.multiplications_at(columns, positions, lookups),
        weight.dense_multiplications(),
        allowed,
    )


def _multiplications(model: nn.Module, example_inputs: Any) -> float:
    """Multiply-adds of one run of the model; two operations are one multiply-add."""
    from torch.utils.flop_counter import FlopCounterMode  # long to import, for one policy

    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # the counter does not see into fused encoder layers
    try:
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            evaluate(model, example_inputs)
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)
    return counter.get_total_flops() / 2
