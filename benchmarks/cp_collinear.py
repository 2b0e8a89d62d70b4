"""Expected time to the right CP components from random starts, collinear and easy problems (B8)."""

from collections.abc import Callable
from statistics import median
from typing import Any

import numpy as np
import torch
import tyro
from torch import Tensor

from benchmarks._cp_cases import B8, CASES, EASY, Case, problem
from benchmarks._cp_peers import pyttb_als, start, tensorly_als
from benchmarks._cp_runs import Run, ours, prepared, run, share, start_seed
from benchmarks._cp_scores import component_congruence, relative_error
from benchmarks._results import write_result
from rankfold.formats import CP

SWEEPS, TOLERANCE = 1000, 1e-8
FLOOR, MATCH = 1.01, 0.95
AUTO, SINGLE, ALS = "auto", "auto, restarts=1", "als"
Side = Callable[[Tensor, int, list[np.ndarray], int], list[Tensor]]


def initial(factors: list[np.ndarray]) -> CP:
    """The start of the peers in our format."""
    return CP(torch.ones(factors[0].shape[1], dtype=torch.float64), tuple(map(torch.from_numpy, factors)))


SIDES: dict[str, Side] = {
    "TensorLy": lambda x, rank, init, seed: tensorly_als(
        x, rank, init=init, iterations=SWEEPS, tolerance=TOLERANCE
    ),
    "TensorLy linesearch": lambda x, rank, init, seed: tensorly_als(
        x, rank, init=init, iterations=SWEEPS, tolerance=TOLERANCE, linesearch=True
    ),
    "pyttb": lambda x, rank, init, seed: pyttb_als(
        x, rank, init=init, iterations=SWEEPS, tolerance=TOLERANCE
    ),
    ALS: lambda x, rank, init, seed: ours(
        x,
        rank,
        method="als",
        init=initial(init),
        restarts=1,
        max_iterations=SWEEPS,
        tolerance=TOLERANCE,
        seed=seed,
    ),
    SINGLE: lambda x, rank, init, seed: ours(x, rank, restarts=1, seed=seed),
    AUTO: lambda x, rank, init, seed: ours(x, rank, seed=seed),
}
PEERS = ("TensorLy", "TensorLy linesearch", "pyttb")
NOTE = (
    "float64, one tensor (seed 0) per problem, starts from N(0, 1) with seeds 1000, 1001, ...; c is the cosine of any "
    "two columns in every mode, gaussian means independent factors, noise is its norm by that of the signal. TensorLy "
    f"(parafac), pyttb (cp_als) and our als take the same start, at most {SWEEPS} sweeps, and stop when the error "
    f"changes by less than {TOLERANCE:g}; auto is rankfold.cp with the rank alone, which makes its own starts from "
    "the seed and confirms its answer by a second one, restarts=1 leaves that out. Success: relative error within "
    "1.01 of the noise and every component with congruence (product over modes of |cos|) above 0.95. expected_ms is "
    "the time of all starts by the number of successes. x_als: time of all starts by that of als."
)


def rows_of(name: str, case: Case, inits: int, sides: tuple[str, ...]) -> list[dict[str, Any]]:
    """One line per side: successes and times over the starts, the sides interleaved."""
    x, truth, floor = problem(case)
    runs: dict[str, list[Run]] = {side: [] for side in sides}
    for side in sides:  # what is set up at the first call is no part of the time
        run(lambda side=side: SIDES[side](x, case.rank, start(case.shape, case.rank, 0), 0))
    for index in range(inits):
        init = start(case.shape, case.rank, start_seed(index))
        for side in sides if index % 2 == 0 else reversed(sides):
            runs[side].append(
                run(lambda side=side, init=init, index=index: SIDES[side](x, case.rank, init, index))
            )
    lines = []
    for side in sides:
        good = [_success(x, truth, floor, one) for one in runs[side]]
        total = sum(one.seconds for one in runs[side])
        lines.append(
            {
                "problem": name,
                "side": side,
                "success": share(good),
                "share": sum(good) / len(good),
                "ms": round(1e3 * median(one.seconds for one in runs[side]), 3),
                "expected_ms": round(1e3 * total / sum(good), 3) if any(good) else None,
            }
        )
    expected = [
        one["expected_ms"] for one in lines if one["side"] in PEERS and one["expected_ms"] is not None
    ]
    for line in lines:
        mean = line["expected_ms"]
        if line["side"] not in PEERS:
            line["speedup_over_best_peer"] = (
                round(min(expected) / mean, 3) if expected and mean is not None else None
            )
        if line["side"] in (AUTO, SINGLE) and ALS in sides:
            own, plain = (sum(one.seconds for one in runs[name]) for name in (line["side"], ALS))
            line["x_als"] = round(own / plain, 3)
        print(line, flush=True)
    return lines


def definitions(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """B8, and that easy problems do not pay for the hard ones."""
    lines = {(one["problem"], one["side"]): one for one in rows}
    speedup = lines[B8, AUTO]["speedup_over_best_peer"]
    return {
        "B8": {
            "measured": "no success" if speedup is None else speedup,
            "target": "≥ 40",
            "unit": "times the best peer's expected time to success",
        },
        "B8 success": {"measured": lines[B8, AUTO]["share"], "target": "≥ 1", "unit": "share of 20 starts"},
        **{
            f"cp, easy: {name}, {side}": {
                "measured": lines[name, side]["x_als"],
                "target": "≤ 1.2",
                "unit": "x plain ALS",
            }
            for name in EASY
            for side in (SINGLE, AUTO)
        },
    }


def main(
    full: bool = False, sides: tuple[str, ...] = tuple(SIDES), cases: tuple[str, ...] = (), threads: int = 1
) -> None:
    """Time all problems, print a line per side, and write the result.

    Arguments:
        full: 20 starts everywhere, and the problems of size 200.
        sides: which sides.
        cases: parts of the names of the problems to run; all without.
        threads: torch threads.
    """
    with prepared(threads) as facts:
        rows = [
            line
            for name, case in CASES.items()
            if case.inits[full] and (not cases or any(part in name for part in cases))
            for line in rows_of(name, case, case.inits[full], sides)
        ]
    # A part of the comparison is for looking at only.
    if not cases and set(sides) == set(SIDES):
        result = {
            "title": "CP decomposition: time to the right components",
            "note": NOTE,
            **facts,
            "definitions": definitions(rows),
            "rows": rows,
        }
        print(result["definitions"])
        write_result("cp_collinear", result)


def _success(x: Tensor, truth: list[Tensor], floor: float, one: Run) -> bool:
    """Whether a run reached the noise and the components."""
    if one.factors is None or relative_error(x, one.factors) > FLOOR * floor:
        return False
    return bool(component_congruence(truth, one.factors).min() > MATCH)


if __name__ == "__main__":
    tyro.cli(main)
