"""Compress a network and measure what that cost and brought."""

import time
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import asdict, dataclass
from functools import partial
from math import isfinite
from typing import Any

import torch
from torch import Tensor, nn

import rankfold
from rankfold._errors import NonFiniteError
from rankfold.cli._compress_batches import FineTuningEpoch
from rankfold.cli._compress_config import CompressConfig
from rankfold.cli._compress_data import CompressionData
from rankfold.cli._compress_spectra import spectra_of_layers
from rankfold.cli._measure import accuracy, count_parameters, flops_per_sample, place_of, time_networks
from rankfold.cli._measure_layers import layer_costs
from rankfold.convert import parse_policy
from rankfold.report import StagesDisplay, sizes

__all__ = ["compress_network"]


def compress_network(
    config: CompressConfig,
    network: nn.Module,
    inputs: tuple[Tensor, ...],
    data: CompressionData,
    display: StagesDisplay,
) -> dict[str, Any]:
    """Factorise a network in place, fine-tune it, and compare it, folded, with what it was.

    Arguments:
        config: checked settings.
        network: dense, in eval mode.
        inputs: what to measure time and operations with.
        data: to calibrate, train and test with.
        display: shows how far it is.

    Returns:
        The record but for what only its files tell.
    """
    dense, like = deepcopy(network), inputs[0]
    right = _accuracy(dense, data, like, "testing the network as it is", display)
    batches = data.calibration_batches(config.batch_size, like.device)
    started = time.perf_counter()
    compression = rankfold.compress(
        network,
        parse_policy(config.policy[0], example_inputs=inputs),
        calibration=_Shown(batches, display) if batches else None,
        finetune=_fine_tuning(config, data, like.device, display),
        fold=False,
        example_inputs=inputs,
        seed=config.seed,
    )
    seconds = time.perf_counter() - started
    folded = rankfold.fold(network)
    display.show("measuring")
    timings = time_networks([dense, folded], inputs)
    before, after = (
        {
            "parameters": count_parameters(side),
            "flops": flops_per_sample(side, inputs),
            "seconds": timings.seconds(number),
        }
        for number, side in enumerate((dense, folded))
    )
    after["accuracy"] = _accuracy(folded, data, like, "testing the compressed network", display)
    started = time.perf_counter()
    layers = _layers(dense, network, inputs, compression, display)
    return {
        "layers": layers,
        "samples": compression.samples,
        "output_change": compression.output_change,
        "test_samples": 0 if data.dataset is None else len(data.dataset.test_targets),
        "place": place_of(like),
        "inputs": [_word(x) for x in inputs],
        "before": before | {"accuracy": right},
        "after": after,
        "seconds": {"compression": seconds, "measuring layers": time.perf_counter() - started},
    }


def _word(given: Tensor) -> str:
    """What ``--input-shape`` would say of an input."""
    kind = "" if given.is_floating_point() else f"{str(given.dtype).removeprefix('torch.')}:"
    return kind + sizes(given.shape[1:])


def _layers(
    dense: nn.Module,
    network: nn.Module,
    inputs: tuple[Tensor, ...],
    compression: rankfold.Compression,
    display: StagesDisplay,
) -> list[dict[str, Any]]:
    """The rows of the compression, what each layer costs before and after, and the spectra it had."""
    costs = {
        one.layer: one for one in layer_costs(network, inputs, partial(display.show, "measuring layers"))
    }
    spectra = spectra_of_layers(dense, compression.layers, partial(display.show, "finding spectra"))
    rows = []
    for layer, found in zip(compression.layers, spectra, strict=True):
        known = costs.get(layer.name)
        measured = {
            f"{quantity}_{when}": None if side is None else getattr(side, quantity)
            for quantity in ("flops", "seconds")
            for when, side in (("before", known and known.dense), ("after", known and known.folded))
        }
        rows.append({**asdict(layer), **measured, "spectra": found})
    return rows


def _accuracy(
    network: nn.Module, data: CompressionData, like: Tensor, stage: str, display: StagesDisplay
) -> float | None:
    if data.dataset is None:
        return None
    inputs, targets = data.dataset.test_inputs, data.dataset.test_targets
    return accuracy(network, inputs, targets, like=like, advance=partial(display.show, stage))


@dataclass
class _Shown:
    """Calibration batches whose passes are shown: the first for all layers, the others for one layer each."""

    batches: list[Tensor]
    display: StagesDisplay
    passes: int = 0

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Tensor]:
        stage = f"fitting layer {self.passes} again" if self.passes else "calibrating"
        self.passes += 1
        for number, batch in enumerate(self.batches):
            self.display.show(stage, number, len(self.batches))
            yield batch
        self.display.show("finding ranks" if self.passes == 1 else stage)


def _fine_tuning(
    config: CompressConfig, data: CompressionData, device: torch.device, display: StagesDisplay
) -> rankfold.FineTuning | None:
    if not config.finetune_epochs:
        return None
    dataset = data.dataset
    assert dataset is not None

    def epoch(number: int) -> FineTuningEpoch:
        return FineTuningEpoch(dataset, config.batch_size, config.seed, number, device)

    def on_step(step: int, total: int, loss: float) -> None:
        display.show("fine-tuning", step, total)
        if not isfinite(loss):
            raise NonFiniteError(
                f"compress: the loss is {loss} after step {step} of {total} of the fine-tuning; choose a smaller "
                "--learning-rate."
            )

    return rankfold.FineTuning(
        batches=epoch,
        epochs=config.finetune_epochs,
        lr=config.learning_rate,
        distillation=config.distillation,
        on_step=on_step,
    )
