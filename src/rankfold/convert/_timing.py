"""How long layers take on this machine, side by side."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from math import ceil
from operator import add
from statistics import median
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from rankfold._shown import Printed
from rankfold.ranks import Call

if TYPE_CHECKING:
    from rankfold._display import View

__all__ = ["Timings", "measure", "time_layers"]

# Choices of this library: a round is long against the resolution of the clocks (microseconds), and with the
# rounds all sides take turns, so that a change of the machine's speed meets all of them.
_ROUNDS = 5
_SECONDS_PER_ROUND = 0.004
_WARM_UP = 2  # the first call allocates, and lets the backend choose its kernels
_MOST_REPEATS = 10_000


@dataclass(frozen=True, slots=True)
class Timings(Printed):
    """Seconds per call of each side in each round; ``print`` and notebooks show their medians.

    Arguments:
        rounds: for each side its times, one per round.
    """

    rounds: tuple[tuple[float, ...], ...]

    def _view(self) -> "View":
        from rankfold._display import Grid, View

        rows = []
        for side in range(len(self.rounds)):
            ratios = self.ratios(side)
            share = f"{self.ratio(side):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})"
            rows.append((str(side), f"{1000 * self.seconds(side):.4g}", share))
        columns = ("side", "milliseconds", "times side 0 (over the rounds)")
        return View("Timings", (Grid(columns, tuple(rows), numbers=(0, 1, 2), what="sides"),))

    def __add__(self, other: "Timings") -> "Timings":
        """Times of the same sides at more work."""
        sides = zip(self.rounds, other.rounds, strict=True)
        return Timings(tuple(tuple(a + b for a, b in zip(*side, strict=True)) for side in sides))

    def times(self, count: int) -> "Timings":
        """Times of doing the work so often."""
        return Timings(tuple(tuple(count * seconds for seconds in side) for side in self.rounds))

    def seconds(self, side: int) -> float:
        """Median over the rounds."""
        return median(self.rounds[side])

    def ratios(self, side: int, other: int = 0) -> list[float]:
        """Time of one side over that of another, round by round, sorted."""
        pairs = zip(self.rounds[side], self.rounds[other], strict=True)
        return sorted(mine / its for mine, its in pairs)

    def ratio(self, side: int, other: int = 0) -> float:
        """Median of the ratios."""
        return median(self.ratios(side, other))


def time_layers(modules: Sequence[nn.Module], calls: Sequence[Call], *, training: bool = False) -> Timings:
    """Time modules that stand for one another on all the calls that a model makes.

    Arguments:
        modules: the sides of the comparison; their hooks are not run.
        calls: at least one; the times of different calls are added up, each as often as it is made.
        training: time forward and backward instead of the forward without gradients.

    Returns:
        Seconds for all calls together. On one CPU thread it is the time of the process, which other processes
        do not change, and the time on the wall otherwise.
    """
    parts = []
    with torch.inference_mode(False), torch.set_grad_enabled(training):
        for call in calls:
            given = call.input()
            sides = [_run(module, call, given, training) for module in modules]
            parts.append(measure(sides, *_clock(given.device)).times(call.times))
    return reduce(add, parts)


def measure(
    sides: Sequence[Callable[[], object]], clock: Callable[[], float], wait: Callable[[], None]
) -> Timings:
    """Time functions in turns, first to last and then last to first.

    Arguments:
        sides: the functions.
        clock: gives seconds.
        wait: returns when the device has done all it was given.

    Returns:
        Seconds per call.
    """

    def seconds(side: Callable[[], object], repeats: int) -> float:
        wait()
        start = clock()
        for _ in range(repeats):
            side()
        wait()
        return clock() - start

    repeats = []
    for side in sides:
        seconds(side, _WARM_UP)
        once = max(seconds(side, 1), _SECONDS_PER_ROUND / _MOST_REPEATS)
        repeats.append(ceil(_SECONDS_PER_ROUND / once))
    rounds: list[list[float]] = [[] for _ in sides]
    for number in range(_ROUNDS):
        order = range(len(sides)) if number % 2 == 0 else reversed(range(len(sides)))
        for index in order:
            rounds[index].append(seconds(sides[index], repeats[index]) / repeats[index])
    return Timings(tuple(map(tuple, rounds)))


def _clock(device: torch.device) -> tuple[Callable[[], float], Callable[[], None]]:
    if device.type != "cpu":
        return time.perf_counter, lambda: torch.accelerator.synchronize(device)
    # The clock of the process ticks 64 times a second on some systems.
    fine = time.get_clock_info("process_time").resolution < _SECONDS_PER_ROUND / 1000
    alone = fine and torch.get_num_threads() == 1
    return time.process_time if alone else time.perf_counter, lambda: None


def _run(module: nn.Module, call: Call, given: Tensor, training: bool) -> Callable[[], object]:
    def forward() -> Any:
        return module.forward(given, *call.arguments, **call.options)

    wanted = [tensor for tensor in (given, *module.parameters()) if tensor.requires_grad]
    if not training or not wanted:
        return forward
    upstream = torch.ones_like(forward())

    def forward_and_backward() -> object:
        return torch.autograd.grad(
            forward(), wanted, upstream
        )  # leaves the .grad of the user's parameters alone

    return forward_and_backward
