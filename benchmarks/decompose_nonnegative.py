"""How often non-negative CP reaches an exact fit of sparse and dense non-negative tensors."""

from collections.abc import Callable
from typing import Any

import tyro
from torch import Tensor

from benchmarks._cp_peers import TOLERANCE, tensorly_hals
from benchmarks._cp_problems import seeded, sparse_nonnegative
from benchmarks._cp_runs import median_seconds, ours, prepared, run, share
from benchmarks._cp_scores import relative_error
from benchmarks._results import write_result

SUCCESS, CAP = 1e-3, 2000
# Size of every mode, components, probability of a zero in the factors.
CASES = ((15, 12, 0.7), (12, 8, 0.5), (12, 8, 0.0))
AUTO = "auto"
Side = Callable[[Tensor, int, int], list[Tensor]]
SIDES: dict[str, Side] = {
    "TensorLy HALS random": lambda x, R, seed: tensorly_hals(x, R, seed=seed, iterations=CAP),
    "TensorLy HALS svd": lambda x, R, seed: tensorly_hals(x, R, seed=seed, init="svd", iterations=CAP),
    "als": lambda x, R, seed: ours(
        x,
        R,
        method="als",
        nonnegative=True,
        restarts=1,
        max_iterations=CAP,
        tolerance=TOLERANCE,
        seed=seed,
    ),
    AUTO: lambda x, R, seed: ours(x, R, nonnegative=True, seed=seed),
}
NOTE = (
    "n x n x n, R components with entries uniform in (0, 1), of which the given share is zero; no noise, the rank "
    "known, a new tensor for every seed. Success is a relative error below 1e-3 with no negative entry in any factor. "
    f"TensorLy is non_negative_parafac_hals; it and our als (hierarchical ALS) make one start of at most {CAP} sweeps, "
    "auto as many as it wants. Seconds are medians per call."
)


def row(n: int, rank: int, zeros: float, side: str, seeds: range) -> dict[str, Any]:
    """One line: how often a side fits."""
    runs, errors, signs = [], [], []
    for seed in seeds:
        x = sparse_nonnegative((n,) * 3, rank, zeros, seeded(seed)).to_dense()
        one = run(lambda x=x, seed=seed: SIDES[side](x, rank, seed))
        runs.append(one)
        errors.append(float("inf") if one.factors is None else relative_error(x, one.factors))
        signs.append(one.factors is not None and all(float(factor.min()) >= 0 for factor in one.factors))
    good = [error < SUCCESS and sign for error, sign in zip(errors, signs, strict=True)]
    line = {
        "n": n,
        "R": rank,
        "zeros_percent": round(100 * zeros),
        "side": side,
        "success": share(good),
        "share": round(sum(good) / len(good), 3),
        "median_error": sorted(errors)[len(errors) // 2],
        "largest_error": max(errors) if max(errors) < float("inf") else None,
        "nonnegative": all(signs),
        "seconds": median_seconds(runs),
        "failed_seeds": " ".join(str(seed) for seed, ok in zip(seeds, good, strict=True) if not ok),
    }
    print(line, flush=True)
    return line


def definitions(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The sparse problems are solved nearly always."""
    return {
        f"cp non-negative: {n}^3 R={rank}, {100 * zeros:.0f} % zeros": {
            "measured": next(
                one["share"]
                for one in rows
                if (one["n"], one["R"], one["zeros_percent"], one["side"])
                == (n, rank, round(100 * zeros), AUTO)
            ),
            "target": "≥ 0.875",
            "unit": "share of runs with error below 1e-3",
        }
        for n, rank, zeros in CASES
    }


def main(seeds: int = 8, full: bool = False, sides: tuple[str, ...] = tuple(SIDES), threads: int = 1) -> None:
    """Count successes, print a line per case and side, and write the result.

    Arguments:
        seeds: number of tensors per case.
        full: 20 seeds.
        sides: which methods.
        threads: torch threads.
    """
    count = 20 if full else seeds
    with prepared(threads) as facts:
        rows = [row(*case, side, range(count)) for case in CASES for side in sides]
    # A part of the comparison is for looking at only.
    if set(sides) == set(SIDES):
        result = {
            "title": "Non-negative CP decomposition",
            "note": NOTE,
            **facts,
            "seeds": count,
            "definitions": definitions(rows),
            "rows": rows,
        }
        print(result["definitions"])
        write_result("decompose_nonnegative", result)


if __name__ == "__main__":
    tyro.cli(main)
