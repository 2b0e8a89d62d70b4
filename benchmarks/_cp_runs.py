"""Run one side of a CP benchmark and take the time."""

import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

import torch
from threadpoolctl import threadpool_limits
from torch import Tensor

import rankfold
from benchmarks._cp_problems import factors_of
from benchmarks._setup import prepare

__all__ = ["Run", "median_seconds", "ours", "prepared", "run", "share", "start_seed"]

# Seeds of tensors are small numbers, those of starts begin here.
_FIRST_START = 1000


@dataclass(frozen=True)
class Run:
    """What one call gave.

    Arguments:
        factors: the components, weights multiplied in, or None where the call failed.
        seconds: of the call.
        failure: what went wrong, in words; None if nothing did.
    """

    factors: list[Tensor] | None
    seconds: float
    failure: str | None = None


@contextmanager
def prepared(threads: int) -> Iterator[dict[str, Any]]:
    """Threads, allocator and seed as in every timing benchmark; the BLAS of NumPy gets as many threads as torch."""
    facts = prepare(threads)
    with threadpool_limits(threads):
        yield facts


def run(call: Callable[[], Sequence[Tensor]]) -> Run:
    """Call a side; a failure is a result, and is printed.

    A peer that gives up with an exception (a singular matrix, say) has simply not succeeded.
    """
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    started = clock()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            factors = list(call())
    except Exception as error:  # any side may fail in its own way
        failure = f"{type(error).__name__}: {error}"
        print(f"  {failure}", flush=True)
        return Run(None, clock() - started, failure)
    return Run(factors, clock() - started)


def ours(tensor: Tensor, rank: int | None, *, seed: int, **options: Any) -> list[Tensor]:
    """``rankfold.cp`` as a side.

    Arguments:
        tensor: the data.
        rank: number of components, or None.
        seed: number of the run; starts are drawn from :func:`start_seed` of it.
        options: passed on.
    """
    return factors_of(rankfold.cp(tensor, rank, generator=start_seed(seed), **options).tensor)


def start_seed(seed: int) -> int:
    """The seed of the starts in a run.

    It is never that of the tensor: the normal numbers that make true factors would then be the start as well.
    """
    return _FIRST_START + seed


def share(successes: Sequence[bool]) -> str:
    """``17/20``."""
    return f"{sum(successes)}/{len(successes)}"


def median_seconds(runs: Sequence[Run]) -> float:
    """Median time of some runs."""
    return round(median(one.seconds for one in runs), 4)
