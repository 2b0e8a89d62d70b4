"""Ways to train one network on several workers: dense, and by TDLRT at ranks that are held."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from benchmarks import _vgg
from benchmarks._step_sides import NO_LIMIT
from rankfold import TDLRT, Fraction, factorize
from rankfold.convert import factorized_layers
from rankfold.models import LeNet5
from rankfold.training import low_rank_parameters

__all__ = ["NETWORKS", "WAYS", "DistributedSide", "numbers_sent"]

_OPTIONS = {"lr": 1e-3, "momentum": 0.9}


def _lenet(share: float | None) -> nn.Module:
    model = LeNet5()
    if share is not None:
        factorize(model, Fraction(share), exclude=["conv1", "linear2"], rescale=True)
    return model


# A function of the share of the full ranks, None for a dense network, and the shape of an image.
NETWORKS: dict[str, tuple[Callable[[float | None], nn.Module], tuple[int, ...]]] = {
    "LeNet": (_lenet, (1, 28, 28)),
    "VGG": (
        lambda share: _vgg.dense_vgg() if share is None else _vgg.factorized_vgg(share),
        _vgg.INPUT_SHAPE,
    ),
}
# Options of TDLRT, and whether DistributedDataParallel averages the dense parameters.
WAYS: dict[str, tuple[dict[str, Any], bool]] = {
    "TDLRT, core_steps=10": ({"core_steps": 10}, False),
    "TDLRT, core_steps=10, in DistributedDataParallel": ({"core_steps": 10}, True),
    "TDLRT, core_steps=1": ({"core_steps": 1}, False),
}


@dataclass
class DistributedSide:
    """One way to train; all numbers are those of this worker.

    Arguments:
        network: of NETWORKS.
        share: of the full ranks; None trains the dense network in DistributedDataParallel.
        way: of WAYS.
        batch: images of each worker.
    """

    network: str
    share: float | None
    way: str
    batch: int

    def __post_init__(self) -> None:
        build, shape = NETWORKS[self.network]
        torch.manual_seed(0)
        self.model = build(self.share)
        options, wrapped = WAYS.get(self.way, ({}, True))
        self.run: nn.Module = DistributedDataParallel(self.model) if wrapped else self.model
        self.steps_per_cycle = 1
        if self.share is None:
            self.optimizer: Any = torch.optim.SGD(self.model.parameters(), **_OPTIONS)
        else:
            limits = {"tolerance": 0.1, "min_rank": NO_LIMIT, "max_rank": Fraction(self.share)}
            self.optimizer = TDLRT(self.run, torch.optim.SGD, **limits, **options, **_OPTIONS)
            self.steps_per_cycle = 1 if options["core_steps"] == 1 else 1 + options["core_steps"]
        self.images = torch.randn(self.batch, *shape)
        self.labels = torch.randint(0, 10, (self.batch,))

    def step(self) -> None:
        """One step on the same batch."""
        self.optimizer.zero_grad()
        F.cross_entropy(self.run(self.images), self.labels).backward()
        self.optimizer.step()

    def ranks(self) -> dict[str, tuple[int, ...]]:
        """Of every layer."""
        return {name: layer.ranks for name, layer in factorized_layers(self.model)}


def numbers_sent(side: DistributedSide) -> float:
    """How many numbers a step averages, by formula, in the mean over a cycle of this side."""
    low_rank = low_rank_parameters(side.model)
    dense = sum(p.numel() for p in side.model.parameters() if p not in low_rank)
    cores = sum(layer.core.numel() for _, layer in factorized_layers(side.model))
    factors = sum(f.numel() for _, layer in factorized_layers(side.model) for f in layer.factors.values())
    if not low_rank:
        return dense
    wide = 0  # cores in bases that are twice as wide, where a mode has so many directions
    for _, layer in factorized_layers(side.model):
        sizes = list(layer.core.shape)
        for mode in layer.modes:
            sizes[mode] = min(2 * sizes[mode], layer.weight_shape[mode])
        wide += torch.Size(sizes).numel()
    if side.steps_per_cycle == 1:
        return dense + cores + factors + wide
    return dense + (cores + factors + (side.steps_per_cycle - 1) * wide) / side.steps_per_cycle
