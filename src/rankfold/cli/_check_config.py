"""Allowed values of the settings of a training run."""

from dataclasses import replace

import torch

from rankfold._errors import OptionError
from rankfold.cli._optimizers import OPTIMIZERS
from rankfold.cli._schedules import SCHEDULES
from rankfold.cli._train_config import TrainConfig
from rankfold.data import DATASETS
from rankfold.models import MODELS
from rankfold.ranks import as_policy
from rankfold.training import INTEGRATORS

__all__ = ["checked", "chosen_device"]

_DEVICES = ("cpu", "cuda", "auto")


def checked(config: TrainConfig) -> TrainConfig:
    """The settings with the learning rate filled in, all found to be in range before anything is made.

    Raises:
        OptionError: the first setting that is out of range or unknown.
    """
    for registry, name in (
        (MODELS, config.model),
        (DATASETS, config.data),
        (OPTIMIZERS, config.optimizer),
        (INTEGRATORS, config.integrator),
        (SCHEDULES, config.schedule),
    ):
        registry[name]
    if config.learning_rate is None:
        config = replace(config, learning_rate=OPTIMIZERS[config.optimizer].learning_rate)
    chosen_device(config.device)
    as_policy(config.rank)
    if config.max_rank is not None:
        as_policy(config.max_rank)
    assert config.learning_rate is not None
    for flag, value, fits, allowed in (
        ("tolerance", config.tolerance, 0 <= config.tolerance < 1, "a number in [0, 1)"),
        ("epochs", config.epochs, config.epochs >= 1, "at least 1"),
        ("seed", config.seed, 0 <= config.seed < 2**63, "a whole number from 0 to 2^63 - 1"),
        ("threads", config.threads, config.threads is None or config.threads >= 1, "at least 1"),
        ("batch-size", config.batch_size, config.batch_size >= 1, "at least 1"),
        ("learning-rate", config.learning_rate, 0 < config.learning_rate < float("inf"), "a number over 0"),
        ("momentum", config.momentum, 0 <= config.momentum < 1, "a number in [0, 1)"),
        ("weight-decay", config.weight_decay, 0 <= config.weight_decay < float("inf"), "at least 0"),
        ("keep", config.keep, config.keep >= 1, "at least 1"),
        (
            "checkpoint-every",
            config.checkpoint_every,
            config.checkpoint_every is None or config.checkpoint_every >= 1,
            "at least 1",
        ),
        ("core-steps", config.core_steps, config.core_steps >= 1, "at least 1"),
        ("min-rank", config.min_rank, config.min_rank >= 1, "at least 1"),
        ("tolerance-warmup", config.tolerance_warmup, config.tolerance_warmup >= 0, "at least 0"),
        (
            "freeze-bases-after",
            config.freeze_bases_after,
            0 <= config.freeze_bases_after <= 1,
            "a share in [0, 1]",
        ),
    ):
        if not fits:
            raise OptionError(f"train: --{flag} is {value}, allowed is {allowed}; choose such a value.")
    return config


def chosen_device(name: str) -> torch.device:
    """The device that a name means on this machine.

    Raises:
        OptionError: an unknown name, or cuda where there is none.
    """
    if name not in _DEVICES:
        raise OptionError(f"device: got {name!r}, known are {', '.join(_DEVICES)}; choose one of these.")
    available = torch.cuda.is_available()
    if name == "cuda" and not available:
        raise OptionError("device: got 'cuda', but PyTorch finds no CUDA device here; choose cpu or auto.")
    return torch.device("cuda" if available and name != "cpu" else "cpu")
