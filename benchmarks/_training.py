"""Train one network on one data set, in Tucker form or dense."""

import time
from typing import Any

import torch
from torch import nn

from rankfold import TDLRT, factorize
from rankfold.convert import factorized_layers
from rankfold.data import Dataset, batches
from rankfold.models import build_model
from rankfold.training import Progress, fit

__all__ = ["train"]


def train(
    dataset: Dataset,
    *,
    model: str = "lenet5",
    seed: int,
    epochs: int,
    batch_size: int,
    learning_rate: float,
    momentum: float = 0.9,
    weight_decay: float = 0.0,
    tolerance: float | None = None,
    rank: float = 0.5,
    warmup: float = 0.2,
    freeze: float = 0.8,
    core_steps: int = 10,
) -> dict[str, Any]:
    """SGD with momentum and a cosine schedule; with a tolerance every layer is factorised and trained by TDLRT.

    Arguments:
        dataset: inputs and targets.
        model: name of a reference network.
        seed: of the initial weights and of the order of the batches.
        epochs, batch_size, learning_rate, momentum: as usual.
        weight_decay: on cores and dense parameters.
        tolerance: truncation tolerance; None trains the dense network.
        rank: share of the full rank to start from.
        warmup: share of the steps over which the tolerance rises.
        freeze: share of the steps after which only the cores train.
        core_steps: core steps per basis step.

    Returns:
        Accuracies in percent after every epoch, compression in the factorised layers, ranks, seconds.
    """
    torch.manual_seed(seed)
    network: nn.Module = build_model(model, classes=dataset.classes, input_shape=dataset.input_shape)
    steps = epochs * -(-len(dataset.train_targets) // batch_size)
    options = {"lr": learning_rate, "momentum": momentum, "weight_decay": weight_decay}
    if tolerance is None:
        optimizer = torch.optim.SGD(network.parameters(), **options)
        before = 0
    else:
        before = sum(row.parameters_before for row in factorize(network, rank, rescale=True).converted)
        optimizer = TDLRT(
            network,
            torch.optim.SGD,
            tolerance=tolerance,
            core_steps=core_steps,
            tolerance_warmup=int(warmup * steps),
            freeze_bases_after=int(freeze * steps),
            **options,
        )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    started = time.perf_counter()
    epochs_done = fit(
        network,
        optimizer,
        lambda epoch, skip: batches(
            dataset.train_inputs,
            dataset.train_targets,
            batch_size,
            generator=torch.Generator().manual_seed(1000 * seed + epoch),
            skip=skip,
        ),
        (dataset.test_inputs, dataset.test_targets),
        epochs=epochs,
        progress=Progress(),
        scheduler=schedule,
    )
    accuracies = [round(100 * metrics.test_accuracy, 3) for metrics in epochs_done]
    layers = dict(factorized_layers(network))
    after = sum(layer.tucker.num_parameters for layer in layers.values())
    return {
        "seed": seed,
        "accuracy": accuracies[-1],
        "accuracies": accuracies,
        "compression": round(100 * (1 - after / before), 3) if before else 0.0,
        "ranks": {name: list(layer.ranks) for name, layer in layers.items()},
        "seconds": round(time.perf_counter() - started, 1),
    }
