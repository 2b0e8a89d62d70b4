"""Every CP method of the library on an easy family of tensors and on two hard ones, for the cards of docs/methods."""

from typing import Any

import tyro

from benchmarks._cp_families import FAMILIES
from benchmarks._cp_runs import median_seconds, ours, prepared, run, share
from benchmarks._cp_scores import relative_error
from benchmarks._results import write_result
from rankfold.decompose import METHODS

SUCCESS = 1e-4  # as in decompose_success
NAMES = ("20^3 R5 c=.5", "10^3 R8 weights 1..1e-3", "4^3 R7 Strassen")
NOTE = (
    "Exact tensors, float64, a new tensor for every seed, the rank known. Success is a relative error below 1e-4, "
    "computed from the returned factors. Every method makes one start, auto as many as it wants. Null: the method does "
    "not apply there. Seconds are medians per call. Families are those of decompose_success."
)


def row(family: str, method: str, seeds: range) -> dict[str, Any]:
    """One line: how often a method succeeded on a family, and its median time."""
    runs, errors = [], []
    for seed in seeds:
        x = FAMILIES[family].tensor(seed)
        one = run(lambda x=x, seed=seed: ours(x, FAMILIES[family].rank, method=method, seed=seed))
        runs.append(one)
        errors.append(float("inf") if one.factors is None else relative_error(x, one.factors))
    refused = all(one.failure is not None for one in runs)
    line = {
        "family": family,
        "method": method,
        "success": None if refused else share([error < SUCCESS for error in errors]),
        "share": None if refused else sum(error < SUCCESS for error in errors) / len(errors),
        "seconds": None if refused else median_seconds(runs),
    }
    print(line, flush=True)
    return line


def main(seeds: int = 5, threads: int = 1) -> None:
    """Run every method on every family.

    Arguments:
        seeds: tensors of each family.
        threads: of the CPU.
    """
    with prepared(threads) as facts:
        rows = [row(family, method, range(seeds)) for family in NAMES for method in METHODS]
        write_result("card_cp", {"note": NOTE, **facts, "seeds": seeds, "rows": rows})


if __name__ == "__main__":
    tyro.cli(main)
