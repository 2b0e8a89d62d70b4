"""The folder of a training run as large as pages have to bear: 100 layers, 10,000 epochs and 10,000 changes of rank."""

import random
from dataclasses import asdict
from math import exp
from pathlib import Path

import torch
from torch import nn

import rankfold
from rankfold.cli._run_folder import RunFolder
from rankfold.cli._train_config import TrainConfig
from rankfold.models import ModelInfo
from rankfold.training import EpochMetrics

__all__ = ["LARGE_MODEL", "LAYERS", "RECORDS", "write_large_run"]

LAYERS, RECORDS = 100, 10_000
_CHANNELS, _RANK = 64, 16


def _network(classes: int, shape: tuple[int, int, int]) -> nn.Module:
    """Convolutions down to 4 x 4 pixels and on at that size, then a linear layer: as many layers as are to be shown."""
    sizes = [shape[0]] + [_CHANNELS] * (LAYERS - 1)
    convolutions = [
        nn.Conv2d(sizes[at], sizes[at + 1], 3, stride=2 if at < 3 else 1, padding=1)
        for at in range(LAYERS - 1)
    ]
    return nn.Sequential(*convolutions, nn.Flatten(), nn.Linear(_CHANNELS * 16, classes))


#: The network of the run; ``rankfold report`` builds it from this entry of the registry.
LARGE_MODEL = ModelInfo(
    name="large",
    build=_network,
    input_shape=(1, 28, 28),
    summary=f"{LAYERS} layers in a row",
    source="none; for the measurement of pages",
)


def write_large_run(folder: Path) -> None:
    """Write the files that ``rankfold train`` would have left after 10,000 epochs.

    Learning curves and ranks are made up; settings, model and the form of every line are those of a run.

    Arguments:
        folder: of the run, made anew. ``LARGE_MODEL`` has to be in ``MODELS`` when it is read.
    """
    numbers = random.Random(0)
    config = TrainConfig(
        model=LARGE_MODEL.name, data="digits", epochs=RECORDS, rank=_RANK, threads=1, device="cpu"
    )
    run = RunFolder(folder)
    run.create(config)
    torch.manual_seed(0)
    model = LARGE_MODEL.build(10, LARGE_MODEL.input_shape)
    conversion = rankfold.factorize(model, _RANK)
    rankfold.save(model, run.model)
    parameters = sum(parameter.numel() for parameter in model.parameters())
    run.write_lines(run.metrics, (_epoch(at, parameters, numbers) for at in range(1, RECORDS + 1)))
    layers = [row.name for row in conversion if row.ranks is not None]
    assert len(layers) == LAYERS
    shapes = {row.name: row.shape for row in conversion}
    run.write_lines(run.ranks, _changes(layers, shapes, numbers))


def _epoch(at: int, parameters: int, numbers: random.Random) -> dict[str, object]:
    loss = 2.3 * exp(-at / 2000) + 0.05 * numbers.random()
    metrics = EpochMetrics(
        epoch=at,
        train_loss=loss,
        train_accuracy=1 - loss / 3,
        test_loss=1.2 * loss,
        test_accuracy=1 - loss / 2.5,
        learning_rate=0.1,
        seconds=1.0,
    )
    return {**asdict(metrics), "parameters": parameters, "compression": 0.9}


def _changes(
    layers: list[str], shapes: dict[str, tuple[int, ...]], numbers: random.Random
) -> list[dict[str, object]]:
    """Every layer in turn, its ranks up or down by one."""
    ranks = {name: list(shapes[name]) for name in layers}
    lines = []
    for at in range(RECORDS):
        name = layers[at % LAYERS]
        before = tuple(ranks[name])
        for mode in range(2):
            most = min(shapes[name][mode], _CHANNELS)
            ranks[name][mode] = max(1, min(most, ranks[name][mode] + numbers.choice((-2, -1, 1))))
        record = rankfold.RankRecord(
            step=10 * (at // LAYERS + 1),
            layer=name,
            ranks_before=before,
            ranks=tuple(ranks[name]),
            modes=(0, 1),
            parameters=sum(rank * size for rank, size in zip(ranks[name], shapes[name], strict=False)),
            truncation_error=0.14 * numbers.random(),
            orthonormality_defect=1e-6,
            rank_capped=False,
        )
        lines.append(asdict(record))
    return lines
