"""LeNet-5 on MNIST from ill-conditioned starts: TDLRT against training the factors directly.

The first three layers have rank 20 and singular values multiplied by decay^-k, k = 0..19 (in a convolution, the slices
of the core along both channel modes), from dense weights with He's initialisation. Plain SGD, learning rate 0.01,
batch 128, as in the authors' experiment (Schotthöfer et al. 2022; mean test accuracy after 4 epochs, decay 10: DLRT
90.7 %, U Vᵀ 29.3 %). The U Vᵀ network has the same weights, each written as two plain layers with the singular values
split evenly between them.
"""

from pathlib import Path

import torch
import tyro

from benchmarks._results import write_result
from rankfold.data import load_dataset
from rankfold.studies._decaying_starts import accuracy_curve

# Names of the methods, as in the results, and of the study "small-singular-values".
WAYS = {"augmented": "augmented", "fixed": "fixed", "uv": "matrix"}


def main(
    data_dir: Path | None = None,
    decays: tuple[float, ...] = (1.0, 10.0),
    methods: tuple[str, ...] = ("augmented", "fixed", "uv"),
    seeds: int = 3,
    epochs: int = 4,
    threads: int = 1,
) -> None:
    """Train every method from every start, print a line per run, and write the result.

    Arguments:
        data_dir: folder with the MNIST files; otherwise RANKFOLD_DATA, the user cache, or a download.
        decays: factors between neighbouring singular values.
        methods: integrators of TDLRT, or ``uv``.
        seeds: number of seeds.
        epochs: epochs per run.
        threads: torch threads.
    """
    torch.set_num_threads(threads)
    dataset = load_dataset("mnist", data_dir=data_dir)
    rows = []
    for decay in decays:
        for method in methods:
            curves = [
                accuracy_curve(
                    dataset, WAYS[method], decay=decay, seed=seed, learning_rate=0.01, epochs=epochs
                )
                for seed in range(seeds)
            ]
            runs = [[round(accuracy, 2) for _, accuracy in curve] for curve in curves]
            means = [round(sum(run[epoch] for run in runs) / seeds, 2) for epoch in range(epochs)]
            rows.append({"decay": decay, "method": method, "mean_accuracies": means, "runs": runs})
            print(f"decay {decay:g} {method}: {means}", flush=True)
    write_result("mnist_decay", {"rows": rows})


if __name__ == "__main__":
    tyro.cli(main)
