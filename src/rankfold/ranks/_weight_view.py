"""What a rank policy sees of a weight: its shape, its forms, and the layers that use it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import prod

import torch
from torch import Tensor, nn

from rankfold.ranks._form import Choice, Form
from rankfold.ranks._measured import LayerUse

__all__ = ["WeightView"]


@dataclass(frozen=True, eq=False, kw_only=True)
class WeightView:
    """A weight that a policy is asked about; layers that share it are asked about together.

    Arguments:
        name: of the first layer that has it.
        model: the dense model, for policies that measure it.
        weight: the live parameter.
        modes: the ways to write it: sets of modes to factorise, the usual one first.
        uses: the layers that have it, and how the model calls them.
        form: gives the spectra along some modes; computed at first use.
        approximation: the dense weight that a choice stands for.
        calibrated: whether energies estimate a loss, on one scale for all weights, and are not squares of the weight.
    """

    name: str
    model: nn.Module
    weight: Tensor
    modes: tuple[tuple[int, ...], ...]
    uses: tuple[LayerUse, ...]
    form: Callable[[tuple[int, ...]], Form] = field(repr=False)
    approximation: Callable[[Choice], Tensor] = field(repr=False)
    calibrated: bool = False

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the dense weight."""
        return tuple(self.weight.shape)

    @property
    def called(self) -> tuple[LayerUse, ...]:
        """The uses that the model calls on the example inputs; none without example inputs."""
        return tuple(use for use in self.uses if use.calls)

    @property
    def positions(self) -> tuple[int, int]:
        """Input and output positions of all calls together: how often the weight is applied to a vector of channels."""
        calls = [call for use in self.uses if not use.is_lookup for call in use.calls]
        if len(self.shape) == 2:
            # Layers may have a shared matrix either way round; inputs and outputs together tell the rows.
            rows = sum(call.times * (prod(call.shape) + call.outputs) // sum(self.shape) for call in calls)
            return rows, rows
        form = self.form(self.modes[0])
        incoming = self.shape[form.incoming] * (form.groups if form.incoming == 1 else 1)
        outgoing = self.shape[form.outgoing] * (form.groups if form.outgoing == 1 else 1)
        before = sum(call.times * prod(call.shape) // incoming for call in calls)
        return before, sum(call.times * call.outputs // outgoing for call in calls)

    @property
    def lookups(self) -> int:
        """Number of rows that all calls together look up in the weight."""
        return sum(call.times * prod(call.shape) for use in self.uses if use.is_lookup for call in use.calls)

    @property
    def rounding(self) -> float:
        """Share of the energy that the rounding of the weight's own numbers may amount to.

        Numbers rounded to a relative ``u`` differ from what was meant by at most ``u`` times the norm, and an SVD in
        float64 is as exact as the larger dimension times its own rounding. For half precision it is that of
        float32, for there the noise of rounding is as large as directions that matter.
        """
        unit = min(torch.finfo(self.weight.dtype).eps, torch.finfo(torch.float32).eps) / 2
        return unit**2 + (max(self.shape) * torch.finfo(torch.float64).eps) ** 2

    def error(self, choice: Choice) -> float:
        """Relative (weighted) truncation error of a choice: the square root of the lost share of the energy."""
        form = self.form(choice.modes)
        return (form.lost(choice.ranks) / form.total) ** 0.5 if form.total > 0 else 0.0

    def dense_multiplications(self) -> int:
        """Multiply-adds of the dense layers on all calls."""
        return self.form(self.modes[0]).dense_multiplications(self.positions)
