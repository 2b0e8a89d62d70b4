"""What a rank policy sees of a weight: its shape, its spectra, what ranks cost, and the layers that use it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from itertools import combinations
from math import prod

from torch import Tensor, nn

from rankfold.ranks._measured import LayerUse

__all__ = ["Choice", "Form", "WeightView"]


@dataclass(frozen=True, slots=True)
class Choice:
    """How to write a weight.

    Arguments:
        modes: the modes to factorise.
        ranks: one rank per mode.
    """

    modes: tuple[int, ...]
    ranks: tuple[int, ...]


@dataclass(frozen=True)
class Form:
    """A weight as a Tucker tensor along some of its modes, and what every choice of ranks keeps and costs.

    Arguments:
        shape: of the weight.
        modes: the factorised modes.
        energies: float64, one axis per mode: entry ``[i, j, ...]`` is the squared norm of that slice of the core of
            the full HOSVD. With calibration they are squares of the weighted weight, which estimate the loss.
        incoming: mode of the weight that faces the input.
        outgoing: mode of the weight that faces the output.
        groups: of a convolution.
    """

    shape: tuple[int, ...]
    modes: tuple[int, ...]
    energies: Tensor
    incoming: int = 1
    outgoing: int = 0
    groups: int = 1

    @cached_property
    def spectra(self) -> tuple[Tensor, ...]:
        """Squared singular values of each mode, largest first up to rounding; each adds up to the total energy."""
        axes = range(self.energies.ndim)
        return tuple(
            self.energies.sum([a for a in axes if a != axis]) if len(axes) > 1 else self.energies
            for axis in axes
        )

    @cached_property
    def kept(self) -> Tensor:
        """Energy that leading cores keep: entry ``[i, j, ...]`` belongs to ranks ``(i + 1, j + 1, ...)``."""
        table = self.energies
        for axis in range(table.ndim):
            table = table.cumsum(axis)
        return table

    def lost(self, ranks: tuple[int, ...]) -> float:
        """Squared (weighted) truncation error at these ranks."""
        index = tuple(rank - 1 for rank in ranks)
        return max(float(self.kept.flatten()[-1] - self.kept[index]), 0.0)

    def parameters(self, ranks: tuple[int, ...]) -> int:
        """Numbers in the plain layers that the weight at these ranks folds to; bias apart."""
        return min(sum(sizes) for sizes in self._stages(ranks))

    def multiplications(self, ranks: tuple[int, ...], positions: tuple[int, int]) -> int:
        """Multiply-adds of these layers.

        Arguments:
            ranks: one per mode.
            positions: number of input and of output positions, samples counted.
        """
        before, after = positions
        window = (
            before if self.outgoing == 1 and len(self.shape) > 2 else after
        )  # transposed windows start at inputs
        return min(
            reduce * before + core * window + expand * after
            for reduce, core, expand in self._stages(ranks, smallest=True)
        )

    def _stages(self, ranks: tuple[int, ...], smallest: bool = False) -> list[tuple[int, int, int]]:
        """Sizes of the layers towards the input, in the middle and towards the output, for each way to fold."""
        channel = [mode for mode in (self.incoming, self.outgoing) if mode in self.modes]
        by_mode = dict(zip(self.modes, ranks, strict=True))
        found = []
        for count in range(len(channel) + 1):
            for keep in combinations(channel, count):
                core = list(self.shape)
                for mode in keep:
                    core[mode] = by_mode[mode]
                # A core of low rank in mode 0 serves every group, so each group gets its own copy of it.
                copies = self.groups if 0 in keep else 1
                sizes = [
                    self.shape[mode] * by_mode[mode] * (self.groups if mode == 1 else 1)
                    if mode in keep
                    else 0
                    for mode in (self.incoming, self.outgoing)
                ]
                found.append((sizes[0], prod(core) * copies, sizes[1]))
        return [min(found, key=sum)] if smallest else found


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
        form = self.form(self.modes[0])
        incoming = self.shape[form.incoming] * (form.groups if form.incoming == 1 else 1)
        outgoing = self.shape[form.outgoing] * (form.groups if form.outgoing == 1 else 1)
        calls = [call for use in self.uses for call in use.calls]
        before = sum(call.times * prod(call.shape) // incoming for call in calls)
        return before, sum(call.times * call.outputs // outgoing for call in calls)

    def error(self, choice: Choice) -> float:
        """Relative (weighted) truncation error of a choice: the square root of the lost share of the energy."""
        form = self.form(choice.modes)
        total = float(form.kept.flatten()[-1])
        return (form.lost(choice.ranks) / total) ** 0.5 if total > 0 else 0.0

    def dense_multiplications(self) -> int:
        """Multiply-adds of the dense layers on all calls."""
        form, (before, after) = self.form(self.modes[0]), self.positions
        return prod(self.shape) * (before if form.outgoing == 1 and len(self.shape) > 2 else after)
