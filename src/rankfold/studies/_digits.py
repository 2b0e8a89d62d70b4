"""Small networks on the digits of scikit-learn, trained plainly: what several studies share."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer

from rankfold.data import batches, load_dataset

__all__ = ["PIXELS", "Digits", "digits", "fit", "perceptron"]

_SIDE = 8
PIXELS = _SIDE**2


@dataclass(frozen=True, eq=False)
class Digits:
    """Images to train on, to choose settings by, and to measure with.

    Arguments:
        train, held_out, test: pixels in [0, 1] ``(N, 64)`` and class numbers ``(N,)``.
    """

    train: tuple[Tensor, Tensor]
    held_out: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]


@lru_cache(maxsize=1)
def digits(data_dir: Path | None = None, held_out: int = 300) -> Digits:
    """The digits at their own size of 8 x 8, on the CPU.

    Arguments:
        data_dir: folder to search first.
        held_out: how many of the 1437 training images are held back, always the same.

    Raises:
        DataError: scikit-learn is not installed.
    """
    data = load_dataset("digits", data_dir=data_dir)
    train, test = (
        (F.adaptive_avg_pool2d(part, _SIDE).flatten(1) * data.deviation[0] + data.mean[0]).clamp(0, 1)
        for part in (data.train_inputs, data.test_inputs)
    )
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))
    apart, kept = order[:held_out], order[held_out:]
    return Digits(
        train=(train[kept], data.train_targets[kept]),
        held_out=(train[apart], data.train_targets[apart]),
        test=(test, data.test_targets),
    )


def perceptron(*widths: int) -> nn.Sequential:
    """Linear layers of these widths with ReLU between them; weights from torch's global generator."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def fit(
    model: nn.Module,
    part: tuple[Tensor, Tensor],
    optimizer: Optimizer,
    *,
    epochs: int,
    batch_size: int,
    seed: int,
    penalty: Callable[[], Tensor] | None = None,
    inputs_of: Callable[[Tensor, Tensor], Tensor] = lambda x, y: x,
    after_epoch: Callable[[int], None] = lambda epoch: None,
    clip: float | None = None,
) -> bool:
    """Minimise cross-entropy plus a penalty, the learning rate falling from epoch to epoch by a cosine.

    Arguments:
        model: classifier.
        part: inputs and targets.
        optimizer: of its parameters.
        epochs: passes over the part.
        batch_size: of a step.
        seed: of the order.
        penalty: added to the loss of every batch.
        inputs_of: what a batch of inputs and targets is trained with in place of the inputs.
        after_epoch: called with the number of epochs done.
        clip: largest norm of the gradient; longer ones are shortened.

    Returns:
        Whether the loss stayed finite to the end.

    Reference:
        Loshchilov, Hutter 2017, "SGDR: stochastic gradient descent with warm restarts", for the cosine.
    """
    generator = torch.Generator().manual_seed(seed)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, epochs)
    loss = torch.zeros(())
    for epoch in range(epochs):
        for inputs, targets in batches(*part, batch_size, generator=generator):
            given = inputs_of(inputs, targets)
            optimizer.zero_grad()
            loss = F.cross_entropy(model(given), targets)
            if penalty is not None:
                loss = loss + penalty()
            loss.backward()
            if clip is not None:
                nn.utils.clip_grad_norm_(model.parameters(), clip)
            optimizer.step()
        schedule.step()
        if not bool(loss.isfinite()):
            return False
        after_epoch(epoch + 1)
    return True
