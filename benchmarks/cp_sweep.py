"""Time of one sweep of alternating least squares beside TensorLy and pyttb, with the same iterates (B9)."""

from collections.abc import Callable
from statistics import geometric_mean, median
from typing import Any

import numpy as np
import torch
import tyro
from torch import Tensor

from benchmarks._comparison import compare
from benchmarks._cp_peers import pyttb_als, start, tensorly_als
from benchmarks._cp_problems import add_noise, congruent, seeded
from benchmarks._cp_runs import ours, prepared
from benchmarks._cp_scores import column_difference
from benchmarks._results import write_result
from benchmarks._timing import interleaved
from rankfold.formats import CP

# Shape, rank, sweeps that are timed.
PROBLEMS = (((50,) * 3, 5, 200), ((100,) * 3, 10, 40), ((30,) * 4, 8, 40), ((200,) * 3, 20, 6))
CHECKED, EQUAL = 10, 1e-10
# Stops nothing: the error may rise by rounding.
NEVER = 0.0
Side = Callable[[Tensor, list[np.ndarray], int], list[Tensor]]


def our_als(x: Tensor, init: list[np.ndarray], sweeps: int) -> list[Tensor]:
    """So many sweeps of ours."""
    weights = torch.ones(init[0].shape[1], dtype=x.dtype)
    begin = CP(weights, tuple(torch.from_numpy(factor) for factor in init))
    return ours(
        x,
        begin.rank,
        method="als",
        init=begin,
        restarts=1,
        max_iterations=sweeps,
        tolerance=NEVER,
        seed=0,
    )


SIDES: dict[str, Side] = {
    "tensorly": lambda x, init, sweeps: tensorly_als(
        x, init[0].shape[1], init=init, iterations=sweeps, tolerance=0
    ),
    "pyttb": lambda x, init, sweeps: pyttb_als(
        x, init[0].shape[1], init=init, iterations=sweeps, tolerance=0
    ),
    "rankfold": our_als,
}
NOTE = (
    "Milliseconds per sweep over all modes, from the difference between a run of many sweeps and one of a single "
    "sweep, from the same N(0, 1) start on the same tensor (c = 0.9, noise 1e-3). TensorLy (numpy) is told to compute "
    "no errors; ours and pyttb compute one per sweep. bound_ms: the two products with the whole tensor that a "
    "dimension tree needs, each the fastest of the ways to ask torch and numpy for it, measured in the same run. "
    f"difference: largest difference of any entry of the unit columns from TensorLy's after {CHECKED} sweeps. float32 "
    "is compared with TensorLy in float32; x_bound is our time by the bound."
)


def bound(x: Tensor, rank: int, rounds: int) -> float:
    """Seconds of the two large products of a sweep: contracting the last half of the modes, then the first half."""
    half = x.ndim // 2
    front, back = x.flatten(0, -half - 1).flatten(1), x.flatten(half).flatten(0, half - 1)
    seconds = 0.0
    for matrix in (front, back.mT):
        small = torch.randn(matrix.shape[1], rank, generator=seeded(0), dtype=x.dtype)
        ways: dict[str, Callable[[], object]] = {
            f"{library}, {order}": lambda a=a, b=b: a @ b
            for library, m, s in (("torch", matrix, small), ("numpy", matrix.numpy(), small.numpy()))
            for order, a, b in (("matrix first", m, s), ("matrix last", s.T, m.T))
        }
        times = compare(ways, rounds=rounds)
        seconds += min(times.seconds(way) for way in ways)
    return seconds


def row(shape: tuple[int, ...], rank: int, sweeps: int, dtype: torch.dtype, rounds: int) -> dict[str, Any]:
    """One line: times per sweep of all sides."""
    generator = seeded(0)
    x = add_noise(congruent(shape, rank, 0.9, generator).to_dense(), 1e-3, generator).to(dtype)
    init = [factor.astype(x.numpy().dtype) for factor in start(shape, rank, 0)]
    reference = SIDES["tensorly"](x, init, CHECKED)
    # pyttb takes double precision alone.
    sides = {name: side for name, side in SIDES.items() if name != "pyttb" or dtype == torch.float64}
    runs: dict[str, Callable[[], object]] = {}
    for name, side in sides.items():
        runs[name] = lambda side=side: side(x, init, sweeps + 1)
        runs[f"{name} once"] = lambda side=side: side(x, init, 1)
    if dtype == torch.float32:
        # What a user of TensorLy has who leaves the data in double precision.
        double, begin = x.double(), [factor.astype(float) for factor in init]
        sides["tensorly_float64"] = SIDES["tensorly"]
        runs["tensorly_float64"] = lambda: SIDES["tensorly"](double, begin, sweeps + 1)
        runs["tensorly_float64 once"] = lambda: SIDES["tensorly"](double, begin, 1)
    times = interleaved(runs, rounds=rounds)
    per_sweep = {
        name: [(a - b) / sweeps for a, b in zip(times[name], times[f"{name} once"], strict=True)]
        for name in sides
    }

    def speedup(over: str) -> float | None:
        if over not in per_sweep:
            return None
        pairs = zip(per_sweep[over], per_sweep["rankfold"], strict=True)
        return round(median(other / own for other, own in pairs), 3)

    floor = bound(x, rank, rounds) if dtype == torch.float64 else None
    own = median(per_sweep["rankfold"])
    line = {
        "shape": " x ".join(map(str, shape)),
        "R": rank,
        "dtype": str(dtype).removeprefix("torch."),
        **{f"{name}_ms": round(1e3 * median(per_sweep[name]), 4) for name in sides},
        "bound_ms": None if floor is None else round(1e3 * floor, 4),
        "difference": column_difference(reference, SIDES["rankfold"](x, init, CHECKED)),
        "share_of_bound": None if floor is None else round(floor / own, 3),
        "speedup_over_tensorly": speedup("tensorly"),
        "speedup_over_pyttb": speedup("pyttb"),
        "speedup_over_tensorly_float64": speedup("tensorly_float64"),
    }
    print(line, flush=True)
    return line


def definitions(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """B9 in double precision, and the same in single."""

    def mean(dtype: str, figure: str = "speedup_over_tensorly") -> float:
        return round(geometric_mean(one[figure] for one in rows if one["dtype"] == dtype), 3)

    unit = f"times as fast as TensorLy numpy, geometric mean of {len(PROBLEMS)} problems"
    largest = max(one["difference"] for one in rows if one["dtype"] == "float64")
    return {
        "B9": {"measured": mean("float64"), "target": "≥ 2.4", "unit": unit},
        "B9 iterates": {
            "measured": largest,
            "target": f"≤ {EQUAL:g}",
            "unit": f"largest difference after {CHECKED} sweeps",
        },
        "B9 float32": {"measured": mean("float32"), "target": "≥ 5", "unit": unit + ", both in float32"},
        "B9 float32 beside float64": {
            "measured": mean("float32", "speedup_over_tensorly_float64"),
            "target": "≥ 5",
            "unit": unit + ", ours in float32, TensorLy in float64",
        },
    }


def main(full: bool = False, threads: int = 1) -> None:
    """Time all problems in both precisions, print a line each, and write the result.

    Arguments:
        full: nine rounds instead of five.
        threads: torch and BLAS threads.
    """
    rounds = 9 if full else 5
    with prepared(threads) as facts:
        rows = [
            row(*problem, dtype, rounds) for dtype in (torch.float64, torch.float32) for problem in PROBLEMS
        ]
    result = {
        "title": "CP decomposition: time of a sweep",
        "note": NOTE,
        **facts,
        "rounds": rounds,
        "definitions": definitions(rows),
        "rows": rows,
    }
    print(result["definitions"])
    write_result("cp_sweep" if threads == 1 else f"cp_sweep_{threads}threads", result)


if __name__ == "__main__":
    tyro.cli(main)
