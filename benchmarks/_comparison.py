"""Times of several sides with as many calls as the clock needs, and the figures taken from them."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from math import ceil
from statistics import median

import torch
from torch import Tensor

from benchmarks._timing import interleaved, median_ratio

__all__ = ["Comparison", "compare", "forward_backward"]

# Seconds that one side lasts at least in one round: four orders above the resolution of the clocks.
_LEAST = 0.01


@dataclass(frozen=True)
class Comparison:
    """Seconds per call, for each side one number per round."""

    times: dict[str, list[float]]

    def seconds(self, side: str) -> float:
        """Median over the rounds."""
        return median(self.times[side])

    def milliseconds(self, *sides: str) -> dict[str, float]:
        """Columns ``SIDE_ms`` of a table."""
        return {f"{side}_ms": round(1e3 * self.seconds(side), 4) for side in sides}

    def speedup(self, side: str, over: str) -> float:
        """How many times faster a side is than another, above 1 if it is faster."""
        return median_ratio(self.times, over, side)


def compare(sides: Mapping[str, Callable[[], object]], *, rounds: int) -> Comparison:
    """Time the sides of one comparison in the same rounds.

    Arguments:
        sides: what to time, by name; the first one says how many calls make a round.
        rounds: rounds that count.

    Returns:
        The times.
    """
    for run in sides.values():
        run()
    first = next(iter(sides.values()))
    started = time.perf_counter()
    first()
    calls = ceil(_LEAST / (time.perf_counter() - started))
    return Comparison(interleaved(sides, rounds=rounds, calls=calls))


def forward_backward(
    layer: Callable[[Tensor], Tensor], tensors: list[Tensor], x: Tensor
) -> Callable[[], object]:
    """A side that runs a layer forward, and backward to its input and the given tensors.

    Arguments:
        layer: maps ``x`` to its output.
        tensors: leaves that the layer reads.
        x: the input, a leaf.

    Returns:
        The side; it accumulates nothing.
    """
    x = x.detach().requires_grad_()
    gradient = torch.randn_like(layer(x))
    return lambda: torch.autograd.grad(layer(x), [x, *tensors], gradient)
