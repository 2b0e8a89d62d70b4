"""Time several sides of one comparison in the same run.

Process CPU time is the default clock: another program that takes the core away does not enter it. With more than one
thread CPU time adds up over the threads, so the wall clock is taken.
"""

import statistics
import time
from collections.abc import Callable, Mapping

import torch

__all__ = ["interleaved", "median_ratio"]


def interleaved(
    sides: Mapping[str, Callable[[], object]], *, rounds: int = 7, calls: int = 1, warmup: int = 1
) -> dict[str, list[float]]:
    """Seconds per call of every side, one number per round; every other round runs in reverse order.

    Arguments:
        sides: what to time, by name; each call does the same work.
        rounds: rounds that count.
        calls: calls per side and round, for work that is short beside the clock.
        warmup: rounds before, not counted.

    Returns:
        For each side ``rounds`` times, so that ratios can be taken round by round.
    """
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    times: dict[str, list[float]] = {name: [] for name in sides}
    for index in range(warmup + rounds):
        order = list(sides) if index % 2 == 0 else list(reversed(sides))
        for name in order:
            run = sides[name]
            started = clock()
            for _ in range(calls):
                run()
            elapsed = (clock() - started) / calls
            if index >= warmup:
                times[name].append(elapsed)
    return times


def median_ratio(times: Mapping[str, list[float]], side: str, reference: str) -> float:
    """Median over the rounds of the time of one side by that of another in the same round."""
    return statistics.median(a / b for a, b in zip(times[side], times[reference], strict=True))
