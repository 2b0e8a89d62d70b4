"""LeNet-5 on scikit-learn's digits: in Tucker form from the first step, and its dense twin, over the seeds."""

from statistics import mean, stdev

import torch
import tyro

from benchmarks._results import write_result
from benchmarks._training import train
from rankfold.data import load_dataset


def main(seeds: int = 5, epochs: int = 30, tolerance: float = 0.2, threads: int = 2) -> None:
    """Train both networks with every seed, print a table, and write the result.

    Arguments:
        seeds: number of seeds.
        epochs: epochs per run.
        tolerance: truncation tolerance of the factorised network.
        threads: torch threads.
    """
    torch.set_num_threads(threads)
    dataset = load_dataset("digits")
    options = {"epochs": epochs, "batch_size": 64, "learning_rate": 0.05}
    sides = {"dense": None, "tucker": tolerance}
    runs = {name: [] for name in sides}
    for seed in range(seeds):
        for name, side in sides.items():
            runs[name].append(train(dataset, seed=seed, tolerance=side, **options))
    summary = {}
    for name in sides:
        accuracy = [run["accuracy"] for run in runs[name]]
        summary[name] = {
            "mean_accuracy": round(mean(accuracy), 3),
            "deviation": round(stdev(accuracy), 3) if seeds > 1 else 0.0,
            "mean_compression": round(mean(run["compression"] for run in runs[name]), 2),
            "mean_seconds": round(mean(run["seconds"] for run in runs[name]), 1),
        }
        print(f"{name}: {summary[name]}")
    write_result("digits_lenet", {"summary": summary, "runs": runs})


if __name__ == "__main__":
    tyro.cli(main)
