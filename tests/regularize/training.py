"""Short trainings on the small problem of ``tests.regularize.values``."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from tests.regularize.values import batch
from torch import Tensor, nn


def loss(network: nn.Module, seed: int = 0) -> Tensor:
    images, labels = batch(next(network.parameters()).dtype, seed)
    return F.cross_entropy(network(images), labels)


def train(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    steps: int,
    penalty: Callable[[], Tensor] | None = None,
) -> list[float]:
    """Losses without the penalty, of the same batch at every step."""
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        value = loss(network)
        (value if penalty is None else value + penalty()).backward()
        optimizer.step()
        losses.append(float(value.detach()))
    return losses
