"""What the decomposition of a sharded tensor costs each worker, on paper.

Axes: n_i dimensions, R components or ranks r_i, W workers. Volumes count every number that a worker hands to a
collective; they are exact, and the benchmark checks them against what collectives are given. Times are flops by rate,
bytes read by bandwidth, and what a ring all-reduce of B bytes takes: ``2 (W - 1)`` steps of a latency each, and ``2
(W - 1) / W`` times B through the network.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, prod

__all__ = ["Constants", "Cost", "Problem", "als_run", "als_sweep", "gradient", "st_hosvd"]

_DOUBLE = 8


@dataclass(frozen=True, slots=True)
class Constants:
    """What was measured.

    Arguments:
        flops: per second of CPU time, of the first product of a block with a factor, one thread.
        read: bytes per second of CPU time from the page cache into a block.
        latency: seconds per step of a small all-reduce.
        network: bytes per second and worker of a large all-reduce.
        call: seconds of CPU time of a small all-reduce.
    """

    flops: float
    read: float
    latency: float
    network: float
    call: float


@dataclass(frozen=True, slots=True)
class Problem:
    """A tensor of float64 numbers, and who works on it.

    Arguments:
        shape: (n_1, ..., n_d).
        cut: the mode along which it is cut.
        rank: components, or the rank of every mode.
        workers: W.
    """

    shape: tuple[int, ...]
    cut: int
    rank: int
    workers: int

    @property
    def entries(self) -> int:
        """Of the longest slice."""
        return prod(self.shape) // self.shape[self.cut] * ceil(self.shape[self.cut] / self.workers)


@dataclass(frozen=True, slots=True)
class Cost:
    """What one worker does.

    Arguments:
        passes: times that it reads its slice.
        flops: multiplications and additions.
        messages: collectives.
        volume: bytes that it hands to them.
        read: bytes that it reads.
    """

    passes: int
    flops: float
    messages: int
    volume: int
    read: int

    def __add__(self, other: "Cost") -> "Cost":
        return Cost(
            self.passes + other.passes,
            self.flops + other.flops,
            self.messages + other.messages,
            self.volume + other.volume,
            self.read + other.read,
        )

    def times(self, count: int) -> "Cost":
        """The same so many times over."""
        return Cost(
            self.passes * count,
            self.flops * count,
            self.messages * count,
            self.volume * count,
            self.read * count,
        )

    def cpu(self, constants: Constants) -> float:
        """Seconds of CPU time."""
        return self.flops / constants.flops + self.read / constants.read + self.messages * constants.call

    def seconds(self, problem: Problem, constants: Constants) -> dict[str, float]:
        """Wall time to compute, to read and to talk."""
        others = problem.workers - 1
        talk = 2 * others * self.messages * constants.latency
        talk += 2 * others / problem.workers * self.volume / constants.network
        return {
            "compute": self.flops / constants.flops,
            "read": self.read / constants.read,
            "talk": talk,
        }


def als_sweep(problem: Problem) -> Cost:
    """One sweep of alternating least squares: two passes, one sum per mode."""
    columns = problem.rank * sum(problem.shape)
    products = Cost(0, 0.0, len(problem.shape), _DOUBLE * columns, 0)
    return _passes(problem, 2, _first_products(problem, 2)) + _shared(problem, products)


def als_run(problem: Problem, sweeps: int) -> Cost:
    """A whole call of ``cp(method='als')`` with a seed, from the files to the result."""
    told = Cost(0, 0.0, 2, 2 * 2 * _DOUBLE, 0)  # arguments, generator
    opened = Cost(0, 0.0, 1, 2 * _DOUBLE, 0)  # the same files
    looked = Cost(
        0, 0.0, 4, 4 * 2 * _DOUBLE * problem.workers, 0
    )  # opening, callback, memory, size of the numbers
    errors = _shared(problem, Cost(0, 0.0, 2, 2 * _DOUBLE, 0))  # of the run and of the result
    residuals = _passes(problem, 2, 2 * 2.0 * problem.rank * problem.entries)
    return (
        _shared(problem, told + opened + looked)
        + _passes(problem, 1, 2.0 * problem.entries)
        + als_sweep(problem).times(sweeps)
        + residuals
        + errors
    )


def gradient(problem: Problem) -> Cost:
    """One gradient of the loss by all factors: one pass, one sum of all of them."""
    columns = problem.rank * sum(problem.shape)
    together = Cost(0, 0.0, 1, _DOUBLE * (columns + 1), 0)
    return _passes(problem, 1, _first_products(problem, 2)) + _shared(problem, together)


def st_hosvd(problem: Problem) -> Cost:
    """The sequentially truncated HOSVD at given ranks: a pass and a Gram matrix for each mode but the cut one."""
    order = [mode for mode in range(len(problem.shape)) if mode != problem.cut]
    matrices = sum(problem.shape[mode] ** 2 for mode in order)
    last = problem.shape[problem.cut] * problem.rank ** len(order)
    together = Cost(0, 0.0, len(problem.shape), _DOUBLE * (matrices + last), 0)
    first, entries = problem.shape[order[0]], problem.entries
    flops = 1.0 * entries * first + 2.0 * (len(problem.shape) - 1) * entries * problem.rank
    return _passes(problem, len(problem.shape), flops) + _shared(problem, together)


def _passes(problem: Problem, count: int, flops: float) -> Cost:
    """Passes over the slice, each with a table in which the workers say that all went well."""
    table = Cost(0, 0.0, count, count * 2 * _DOUBLE * problem.workers, 0)
    return Cost(count, flops, 0, 0, count * problem.entries * _DOUBLE) + _shared(problem, table)


def _shared(problem: Problem, cost: Cost) -> Cost:
    """One process talks to nobody."""
    return cost if problem.workers > 1 else Cost(cost.passes, cost.flops, 0, 0, cost.read)


def _first_products(problem: Problem, count: int) -> float:
    """Products with the whole slice; what they leave is smaller by a dimension and not counted."""
    return count * 2.0 * problem.rank * problem.entries


def label(shape: Sequence[int]) -> str:
    """A shape in a table."""
    return " x ".join(map(str, shape))
