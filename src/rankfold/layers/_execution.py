"""How a layer runs: which of its two channel factors stay apart, and which are multiplied into the core first.

With both apart the layer is a chain of three thin stages; with none it is the dense layer, multiplied out. The rule
estimates the time of each way from multiplications, bytes and calls.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Literal, get_args

from rankfold._errors import OptionError
from rankfold.layers._machine import Machine

__all__ = ["EXECUTIONS", "Execution", "Sizes", "cheapest_sides", "sides_of"]

Execution = Literal["chain", "merge_input", "merge_output", "dense"]
EXECUTIONS: tuple[Execution, ...] = get_args(Execution)

# Vector registers hold 16 float32 numbers, and kernels pay for whole ones.
_LANES = 16
# Choice of this library: the estimate is rough, so an execution must promise more than a tenth to replace the chain.
_CLEARLY = 0.9


@dataclass(frozen=True, slots=True)
class Sizes:
    """Sizes of one call of a layer.

    Arguments:
        core: shape of the core.
        full: shape of the dense weight.
        modes: which modes of the weight face input and output.
        available: the channel modes that have a factor.
        groups: number of groups of channels.
        positions_in, positions_out: pixels, tokens or rows of input and output, over the whole batch.
        training: whether a backward follows.
        element_size: bytes per number.
    """

    core: tuple[int, ...]
    full: tuple[int, ...]
    modes: tuple[int, int]
    available: tuple[int, ...]
    groups: int
    positions_in: int
    positions_out: int
    training: bool
    element_size: int


def sides_of(execution: Execution, modes: tuple[int, int], available: Sequence[int]) -> tuple[int, ...]:
    """The modes whose factors an execution keeps apart, among those that have one.

    Raises:
        OptionError: an unknown execution.
    """
    if execution not in EXECUTIONS:
        raise OptionError(
            f"execution must be None or one of {', '.join(EXECUTIONS)}, got {execution!r}; choose one of these."
        )
    merged = {"chain": (), "merge_input": modes[:1], "merge_output": modes[1:], "dense": modes}[execution]
    return tuple(mode for mode in available if mode not in merged)


def cheapest_sides(sizes: Sizes, machine: Machine) -> tuple[int, ...]:
    """The modes whose factors stay apart in the fastest execution; the chain unless another one is clearly faster."""
    choices = [sides_of(execution, sizes.modes, sizes.available) for execution in EXECUTIONS]
    chain = choices[0]
    best = min(choices, key=lambda sides: _seconds(sizes, sides, machine))
    return best if _seconds(sizes, best, machine) < _CLEARLY * _seconds(sizes, chain, machine) else chain


def _seconds(sizes: Sizes, sides: tuple[int, ...], machine: Machine) -> float:
    before, after = sizes.modes
    window = prod(sizes.core) // (sizes.core[before] * sizes.core[after])
    # Mode 0 runs over the channels of all groups, mode 1 over those of one.
    channels = {mode: sizes.full[mode] * (sizes.groups if mode == 1 else 1) for mode in sizes.modes}
    hidden = {
        mode: sizes.core[mode] * sizes.groups if mode in sides else channels[mode] for mode in sizes.modes
    }
    stages = [(sizes.positions_out, hidden[before], hidden[after] // sizes.groups, window)]
    stages += [(sizes.positions_in, channels[before], sizes.core[before], 1)] if before in sides else []
    stages += [(sizes.positions_out, sizes.core[after], channels[after], 1)] if after in sides else []
    passes = 3 if sizes.training else 1
    seconds = 0.0
    for positions, inputs, outputs, size in stages:
        work = 2 * positions * inputs * _padded(outputs) * size
        moved = sizes.element_size * positions * (inputs + outputs)
        seconds += passes * (work / machine.flops + moved / machine.bandwidth + machine.overhead)
    if sizes.training:  # without a backward what is merged is kept from call to call
        merged = list(sizes.core)
        for mode in (mode for mode in sizes.available if mode not in sides):
            work = 2 * prod(merged) * sizes.full[mode]
            merged[mode] = sizes.full[mode]
            moved = sizes.element_size * 2 * prod(merged)
            seconds += 3 * (work / machine.flops + moved / machine.bandwidth + 2 * machine.overhead)
    return seconds


def _padded(channels: int) -> int:
    return -(-channels // _LANES) * _LANES
