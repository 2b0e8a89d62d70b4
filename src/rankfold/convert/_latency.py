"""Ranks from a time budget, by measurement on the machine at hand."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import reduce
from math import prod
from operator import add
from typing import Any

from torch import nn

from rankfold._errors import OptionError
from rankfold.convert import _timing
from rankfold.formats import full_ranks
from rankfold.ranks import QUANTUM, Choice, LayerUse, WeightView, check_quantum, lowered

__all__ = ["Latency", "description", "largest_fitting", "rank_levels"]


@dataclass(frozen=True, eq=False, kw_only=True)
class Latency:
    """The largest ranks at which a layer is as fast as asked for, measured on this machine; else it stays dense.

    ``factorize`` runs the model once on the example inputs to see what each layer is given, and times the
    dense layer and the factorised one at multiples of a quantum, the same share of each factorised mode. A
    layer that low rank does not make fast enough stays dense, and the conversion table says why; so a model
    asked for more than its layers can reach may end slower than one asked for less. Times vary from run to
    run by a few percent, and so may the ranks.

    Arguments:
        example_inputs: a tensor, a tuple of arguments or a mapping of keyword arguments for the model, of the
            size, memory format and device that it will be used with.
        speedup: dense time over factorised time that each layer must reach, at least; 1 means not slower.
        quantum: ranks are multiples of it, except in modes no wider than it; 16 is the width of the blocks that
            kernels work on.
        training: measure forward and backward, not the forward alone.

    Raises:
        OptionError: a speed-up that is not over 0, a quantum below 1, or no example inputs.

    Example:
        >>> import torch
        >>> from torch import nn
        >>> from rankfold.convert import factorize
        >>> model = nn.Sequential(nn.Linear(24, 20))
        >>> [row.reason for row in factorize(model, Latency(example_inputs=torch.zeros(8, 24)))]
        ['kept dense: no rank that is a multiple of 16 saves parameters']
    """

    example_inputs: Any = field(repr=False)
    speedup: float = 1.0
    quantum: int = QUANTUM
    training: bool = False

    def __post_init__(self) -> None:
        if self.example_inputs is None:
            raise OptionError(
                "Latency: example_inputs is None; pass what the model is called with, for the times depend on it."
            )
        if isinstance(self.speedup, bool) or not 0 < self.speedup < float("inf"):
            raise OptionError(f"Latency: speedup must be a number over 0, got {self.speedup!r}; 1 is dense.")
        check_quantum("Latency", self.quantum)

    def choose(self, weights: Sequence[WeightView]) -> list[Choice | str]:
        """Ranks for each weight, or the reason to keep it dense; layers that share it have their times added up."""
        # Layers that are alike are measured once, and get the same ranks.
        known: list[tuple[list[Any], Choice | str]] = []
        answers = []
        for weight in weights:
            alike = [description(use, weight) for use in weight.uses]
            answer = next((earlier for described, earlier in known if described == alike), None)
            if answer is None:
                answer = self._choose(weight)
                known.append((alike, answer))
            answers.append(answer)
        return answers

    def _choose(self, weight: WeightView) -> Choice | str:
        called, modes = weight.called, weight.modes[0]
        if all(isinstance(use.module, nn.Embedding) for use in called):
            return "kept dense: a lookup only copies rows, to which low rank adds products"
        levels = rank_levels(weight.shape, modes, self.quantum)
        if not levels:
            return f"kept dense: no rank that is a multiple of {self.quantum} saves parameters"
        ratios: dict[int, float] = {}

        def fits(level: int) -> bool:
            ratios[level] = self._share_of_dense_time(called, modes, levels[level])
            return ratios[level] <= 1 / self.speedup

        level = largest_fitting(len(levels), fits)
        if level is not None:
            return Choice(modes, levels[level])
        ranks = "x".join(map(str, levels[0] if len(set(levels[0])) > 1 else levels[0][:1]))
        wanted = "" if self.speedup == 1 else f", where {1 / self.speedup:.2f}x was asked for"
        return f"kept dense: at rank {ranks} it takes {ratios[0]:.2f}x the dense time{wanted}"

    def _share_of_dense_time(
        self, uses: Sequence[LayerUse], modes: tuple[int, ...], ranks: tuple[int, ...]
    ) -> float:
        timings = []
        for use in uses:
            sides = [use.module, use.build(modes, ranks).train(self.training)]
            timings.append(_timing.time_layers(sides, use.calls, training=self.training))
        return reduce(add, timings).ratio(1)


def description(use: LayerUse, weight: WeightView) -> tuple[Any, ...]:
    """What two layers have in common that take the same time at the same ranks."""
    live = weight.weight
    return (repr(use.module), live.stride(), live.dtype, live.requires_grad, weight.modes, use.calls)


def rank_levels(shape: Sequence[int], modes: Sequence[int], quantum: int) -> list[tuple[int, ...]]:
    """Ranks that save parameters, from low to high: the same share of each mode, in steps of the quantum.

    The widest mode gets every multiple of the quantum, the others the multiple nearest to the same share, or
    the share rounded up where that multiple is no less than the mode.

    Example:
        >>> rank_levels((64, 32, 3, 3), (0, 1), 16)
        [(16, 16), (32, 16), (48, 24)]
    """
    full = full_ranks(shape, modes)
    widest, levels = max(full), []
    for step in range(1, -(-widest // quantum)):
        near = [_near_share(step, size, widest, quantum) for size in full]
        ranks = lowered(near, shape, modes)
        core = list(shape)
        for mode, rank in zip(modes, ranks, strict=True):
            core[mode] = rank
        factors = sum(shape[mode] * rank for mode, rank in zip(modes, ranks, strict=True))
        if prod(core) + factors < prod(shape):
            levels.append(ranks)
    return levels


def _near_share(step: int, size: int, widest: int, quantum: int) -> int:
    multiple = max(round(step * size / widest), 1) * quantum
    return multiple if multiple < size else -(-step * quantum * size // widest)


def largest_fitting(count: int, fits: Callable[[int], bool]) -> int | None:
    """The last of the numbers 0..count-1 that fits, where every number before it fits too; None if none does.

    What bisection finds must fit once more, or the numbers before it are tried: ``fits`` may be a measurement
    that was lucky once.

    Example:
        >>> largest_fitting(100, lambda number: number <= 41)
        41
    """
    low, high = -1, count
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    while low >= 0 and not fits(low):
        low -= 1
    return None if low < 0 else low
