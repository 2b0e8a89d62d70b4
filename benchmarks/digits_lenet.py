"""LeNet-5 on scikit-learn's digits with the defaults of ``rankfold train``, and its dense twin, over the seeds."""

import json
import tempfile
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import tyro

from benchmarks._results import write_result
from rankfold import RankfoldError
from rankfold.cli import main as rankfold


def trained(folder: Path, *flags: str) -> dict[str, Any]:
    """Run ``rankfold train`` with some flags and read what it wrote."""
    code = rankfold(["train", "--out", str(folder), *flags])
    if code:
        raise RankfoldError(f"rankfold train {' '.join(flags)} ended with code {code}.")
    epochs = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    last = epochs[-1]
    return {
        "accuracy": round(100 * last["test_accuracy"], 3),
        "compression": round(100 * last["compression"], 2),
        "training_seconds": round(sum(epoch["seconds"] for epoch in epochs), 1),
    }


def main(seeds: int = 5, threads: int = 2) -> None:
    """Train both networks with every seed, print a table, and write the result.

    Arguments:
        seeds: number of seeds.
        threads: torch threads.
    """
    sides: dict[str, list[str]] = {"dense": ["--dense"], "tucker": []}
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in sides}
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(seeds):
            for name, flags in sides.items():
                folder = Path(scratch) / f"{name}-{seed}"
                common = ["--seed", str(seed), "--threads", str(threads)]
                runs[name].append({"seed": seed, **trained(folder, *common, *flags)})
    summary = {}
    for name, rows in runs.items():
        accuracy = [row["accuracy"] for row in rows]
        summary[name] = {
            "mean_accuracy": round(mean(accuracy), 2),
            "deviation": round(stdev(accuracy), 2) if seeds > 1 else 0.0,
            "mean_compression": round(mean(row["compression"] for row in rows), 1),
            "mean_training_seconds": round(mean(row["training_seconds"] for row in rows), 1),
        }
        print(f"{name}: {summary[name]}")
    write_result("digits_lenet", {"summary": summary, "runs": runs})


if __name__ == "__main__":
    tyro.cli(main)
