"""The settings of a training run: flags, config.json and documentation come from this one class."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from rankfold.cli._optimizers import OPTIMIZERS
from rankfold.cli._schedules import SCHEDULES
from rankfold.data import DATASETS
from rankfold.models import MODELS
from rankfold.training import INTEGRATORS

__all__ = ["TrainConfig"]


def _one_of(names: Mapping[str, Any]) -> Any:
    # Shown in the help only: the registries reject unknown names with the list of the known ones.
    return tyro.conf.arg(metavar="{" + ",".join(names) + "}")


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Train a network in low-rank Tucker form; without flags LeNet-5 on the digits of scikit-learn.

    Arguments:
        model: the network.
        data: the data set; digits comes with scikit-learn, the others are downloaded if they are not found.
        tolerance: relative truncation error of each weight, in [0, 1). More means lower ranks.
        epochs: passes over the training set.
        seed: of the weights and of the order of the samples.
        threads: CPU threads; None leaves the choice to PyTorch.
        batch_size: samples per step.
        optimizer: trains the cores and all dense parameters.
        learning_rate: its first value; None means the usual one of the optimiser (0.1 for sgd, 0.001 else).
        momentum: of sgd; the others do not use it.
        weight_decay: on cores and dense parameters, never on bases.
        rank: ranks to start from: a number, or a share of the full ranks written as a fraction.
        integrator: how a step moves on the manifold.
        core_steps: steps on the cores between two basis steps; 1 takes two gradients per batch.
        min_rank: no rank is cut below this.
        max_rank: no rank exceeds this number or share; None sets no bound.
        tolerance_warmup: epochs over which the tolerance rises from 0.
        freeze_bases_after: share of the training after which bases and ranks stay; 1 means never.
        schedule: of the learning rate: cosine rises over the first tenth of the training and falls to 0.
        dense: train the ordinary network instead, to compare with.
        out: folder of the run, made anew; None means runs/<model>-<data>-<time>.
        data_dir: folder to search for the data set first.
        resume: folder of an interrupted run to go on with; only --epochs, --threads, --data-dir, --device, --keep,
            --checkpoint-every, --watch, --tensorboard and --diagnose may change.
        keep: checkpoints to keep; with 2 or more a damaged one does not end the run.
        checkpoint_every: batches between two checkpoints; None means one after each epoch.
        watch: keep the page of the run up to date while it trains; open it once, it loads itself again.
        tensorboard: write curves for TensorBoard into the folder of the run.
        diagnose: after every epoch, look at spectra, movement and curvature of every layer; the page draws them.
        device: cpu, cuda, or auto for cuda where there is one.
    """

    model: Annotated[str, _one_of(MODELS)] = "lenet5"
    data: Annotated[str, _one_of(DATASETS)] = "digits"
    tolerance: float = 0.14
    epochs: int = 30
    seed: int = 0
    threads: int | None = None
    batch_size: int = 64
    optimizer: Annotated[str, _one_of(OPTIMIZERS)] = "sgd"
    learning_rate: float | None = None
    momentum: float = 0.9
    weight_decay: float = 3e-3
    rank: int | float = 0.5
    integrator: Annotated[str, _one_of(INTEGRATORS)] = "augmented"
    core_steps: int = 10
    min_rank: int = 1
    max_rank: int | float | None = None
    tolerance_warmup: int = 3
    freeze_bases_after: float = 0.8
    schedule: Annotated[str, _one_of(SCHEDULES)] = "cosine"
    dense: tyro.conf.FlagCreatePairsOff[bool] = False
    out: Path | None = None
    data_dir: Path | None = None
    resume: Path | None = None
    keep: int = 2
    checkpoint_every: int | None = None
    watch: tyro.conf.FlagCreatePairsOff[bool] = False
    tensorboard: tyro.conf.FlagCreatePairsOff[bool] = False
    diagnose: tyro.conf.FlagCreatePairsOff[bool] = False
    device: Annotated[str, tyro.conf.arg(metavar="{cpu,cuda,auto}")] = "auto"
