"""Build what a training run consists of, from its settings alone."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

import rankfold
from rankfold.cli._check_config import chosen_device
from rankfold.cli._optimizers import OPTIMIZERS
from rankfold.cli._schedules import SCHEDULES
from rankfold.cli._train_config import TrainConfig
from rankfold.data import Dataset, batches, load_dataset
from rankfold.diagnostics import TrainingMonitor
from rankfold.models import build_model
from rankfold.training import INTEGRATORS, TDLRT

__all__ = ["Data", "build_monitor", "build_network", "build_optimizer", "load_data", "needs_closure"]


_CURVED = 64  # images whose loss is looked at for the curvature (choice of this library)


@dataclass(frozen=True)
class Data:
    """A data set on the device of the run.

    Arguments:
        dataset: its tensors on the device.
        batch_size: samples per batch.
        seed: of the order of the samples.
    """

    dataset: Dataset
    batch_size: int
    seed: int

    @property
    def batches_per_epoch(self) -> int:
        """Number of batches, the last of which may be shorter."""
        return math.ceil(len(self.dataset.train_targets) / self.batch_size)

    def batches(self, epoch: int, skip: int) -> Iterator[tuple[Tensor, Tensor]]:
        """The batches of an epoch; their order depends on seed and epoch only, so no generator need be saved."""
        mixed = np.random.SeedSequence((self.seed, epoch)).generate_state(1, np.uint64)
        generator = torch.Generator().manual_seed(int(mixed[0] >> np.uint64(1)))
        inputs, targets = self.dataset.train_inputs, self.dataset.train_targets
        return batches(inputs, targets, self.batch_size, generator=generator, skip=skip)

    @property
    def test(self) -> tuple[Tensor, Tensor]:
        """Inputs and targets of the test set."""
        return self.dataset.test_inputs, self.dataset.test_targets


def load_data(config: TrainConfig) -> Data:
    """Load the data set and move it to the device, once.

    Raises:
        DataError: it is missing or damaged.
    """
    device = chosen_device(config.device)
    found = load_dataset(config.data, data_dir=config.data_dir)
    return Data(found.to(device), config.batch_size, config.seed)


def build_network(config: TrainConfig, dataset: Dataset) -> nn.Module:
    """Seed PyTorch and build the network, factorised unless ``config.dense``.

    Arguments:
        config: the settings.
        dataset: says how many classes there are and what an input is.

    Raises:
        OptionError: the network does not take inputs of this shape.
    """
    torch.manual_seed(config.seed)
    model = build_model(config.model, classes=dataset.classes, input_shape=dataset.input_shape)
    if not config.dense:
        rankfold.factorize(model, config.rank, rescale=True)
    return model.to(dataset.train_inputs.device)


def build_optimizer(
    config: TrainConfig,
    model: nn.Module,
    batches_per_epoch: int,
    on_truncation: Callable[[rankfold.RankRecord], None],
) -> tuple[Optimizer, LambdaLR]:
    """The optimiser, TDLRT unless ``config.dense``, and its schedule, stepped once per batch.

    Raises:
        OptionError: a setting out of range.
        OptimizerError: the network has no layer that can be factorised.
    """
    info, schedule = OPTIMIZERS[config.optimizer], SCHEDULES[config.schedule]
    assert config.learning_rate is not None
    arguments: dict[str, Any] = info.arguments(config.learning_rate, config.momentum, config.weight_decay)
    steps = config.epochs * batches_per_epoch
    freeze = None if config.freeze_bases_after == 1 else round(config.freeze_bases_after * steps)
    if config.dense:
        optimizer = info.optimizer_class(model.parameters(), **arguments)
    else:
        optimizer = TDLRT(
            model,
            info.optimizer_class,
            tolerance=config.tolerance,
            integrator=config.integrator,
            core_steps=config.core_steps,
            min_rank=config.min_rank,
            max_rank=config.max_rank,
            tolerance_warmup=config.tolerance_warmup * batches_per_epoch,
            freeze_bases_after=freeze,
            on_truncation=on_truncation,
            **arguments,
        )
    # The middle of each step, so that neither the first nor the last has rate 0.
    return optimizer, LambdaLR(optimizer, lambda step: schedule.factor((step + 0.5) / steps))


def needs_closure(config: TrainConfig) -> bool:
    """Whether a step needs a second gradient of the same batch."""
    return not config.dense and config.core_steps == 1 and not INTEGRATORS[config.integrator].single_gradient


def build_monitor(model: nn.Module, data: Data) -> TrainingMonitor:
    """Look at the layers of a network, and at how the loss of a few training images curves along them.

    Arguments:
        model: as it is at the start.
        data: what it learns from.
    """
    x, y = (part[:_CURVED] for part in (data.dataset.train_inputs, data.dataset.train_targets))
    return TrainingMonitor(model, lambda: F.cross_entropy(model(x), y))
