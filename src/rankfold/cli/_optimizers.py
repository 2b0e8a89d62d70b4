"""The inner optimisers by name."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim import Optimizer

from rankfold._registry import Registry

__all__ = ["OPTIMIZERS", "OptimizerInfo"]


@dataclass(frozen=True)
class OptimizerInfo:
    """One inner optimiser.

    Arguments:
        name: the name it is asked for by.
        optimizer_class: the class.
        learning_rate: taken where none is given.
        arguments: further keyword arguments from learning rate, momentum and weight decay.
        summary: what it is, in one line.
        source: where it was published.
    """

    name: str
    optimizer_class: type[Optimizer]
    learning_rate: float
    arguments: Callable[[float, float, float], dict[str, Any]]
    summary: str
    source: str


def _with_momentum(learning_rate: float, momentum: float, weight_decay: float) -> dict[str, Any]:
    return {"lr": learning_rate, "momentum": momentum, "weight_decay": weight_decay}


def _without_momentum(learning_rate: float, momentum: float, weight_decay: float) -> dict[str, Any]:
    return {"lr": learning_rate, "weight_decay": weight_decay}


OPTIMIZERS: Registry[OptimizerInfo] = Registry(
    "optimizer",
    OptimizerInfo(
        name="sgd",
        optimizer_class=torch.optim.SGD,
        learning_rate=0.1,
        arguments=_with_momentum,
        summary="stochastic gradient descent with momentum",
        source="Polyak 1964; Sutskever et al. 2013",
    ),
    OptimizerInfo(
        name="adam",
        optimizer_class=torch.optim.Adam,
        learning_rate=1e-3,
        arguments=_without_momentum,
        summary="steps scaled by running moments of the gradient",
        source="Kingma, Ba 2015",
    ),
    OptimizerInfo(
        name="adamw",
        optimizer_class=torch.optim.AdamW,
        learning_rate=1e-3,
        arguments=_without_momentum,
        summary="Adam with weight decay apart from the gradient",
        source="Loshchilov, Hutter 2019",
    ),
)
