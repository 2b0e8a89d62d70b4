"""What the options of ``rankfold train`` change: LeNet-5 on scikit-learn's digits, one option at a time."""

import shlex
import tempfile
from pathlib import Path
from statistics import mean
from typing import Any

import tyro

from benchmarks._results import write_result
from benchmarks.digits_lenet import trained
from rankfold import RankfoldError

# The words after `rankfold train`; the first line is its defaults.
OPTIONS = (
    "",
    "--tolerance 0.05",
    "--tolerance 0.3",
    "--rank 1.0",
    "--rank 0.1",
    "--rank 1",
    "--core-steps 1",
    "--integrator parallel --tolerance 0.07",
    "--integrator fixed --rank 0.3",
    "--integrator fixed --rank 0.3 --learning-rate 0.03",
    "--freeze-bases-after 1",
    "--epochs 5",
    "--epochs 5 --dense",
)


def main(seeds: int = 1, threads: int = 1) -> None:
    """Train with every option, print a table, and write the result.

    Arguments:
        seeds: number of seeds.
        threads: torch threads.
    """
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as scratch:
        for number, words in enumerate(OPTIONS):
            runs = []
            for seed in range(seeds):
                folder = Path(scratch) / f"{number}-{seed}"
                common = ["--seed", str(seed), "--threads", str(threads)]
                try:
                    run = trained(folder, *common, *shlex.split(words))
                except RankfoldError as error:
                    run = {"failed": str(error)}
                run.pop("training_seconds", None)  # not measured with care here
                runs.append({"seed": seed, **run})
            done = [run for run in runs if "failed" not in run]
            row = {"options": words, "failed": len(runs) - len(done), "runs": runs}
            if done:
                for key in ("accuracy", "compression"):
                    row[f"mean_{key}"] = round(mean(run[key] for run in done), 2 if key == "accuracy" else 1)
            rows.append(row)
            print({key: value for key, value in row.items() if key != "runs"}, flush=True)
    write_result("train_options", {"seeds": seeds, "rows": rows})


if __name__ == "__main__":
    tyro.cli(main)
