"""The training loop of the command line: resumable to the batch, silent, one step of anybody's loop."""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from rankfold.training._optimizer import TDLRT

__all__ = ["EpochMetrics", "Progress", "evaluate", "fit"]


@dataclass(slots=True)
class Progress:
    """Where a training run stands; plain numbers, so that it can be written down and taken up again.

    Arguments:
        epoch: epochs completed.
        batch: batches done in the current epoch.
        loss_sum, correct, seen: sums over the samples of the current epoch.
        seconds: training time of the current epoch so far.
    """

    epoch: int = 0
    batch: int = 0
    loss_sum: float = 0.0
    correct: int = 0
    seen: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class EpochMetrics:
    """What one epoch gave.

    Arguments:
        epoch: number of the epoch, from 1.
        train_loss: mean cross-entropy over the epoch's batches, in nats.
        train_accuracy, test_accuracy: in 0..1.
        test_loss: mean cross-entropy on the test set, in nats.
        learning_rate: of the first parameter group, after the epoch.
        seconds: training time, evaluation apart.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    learning_rate: float
    seconds: float


@torch.no_grad()
def evaluate(
    model: nn.Module, inputs: Tensor, targets: Tensor, *, batch_size: int = 1000
) -> tuple[float, float]:
    """Mean cross-entropy and accuracy of a classifier in eval mode.

    Arguments:
        model: maps inputs to logits ``(N, classes)``; its training flag is restored.
        inputs: ``(N, ...)``.
        targets: class numbers ``(N,)``.
        batch_size: samples per forward.

    Returns:
        Loss in nats, accuracy in 0..1.
    """
    training = model.training
    model.eval()
    loss, correct = 0.0, 0
    try:
        for x, y in zip(inputs.split(batch_size), targets.split(batch_size), strict=True):
            logits = model(x)
            loss += float(F.cross_entropy(logits, y, reduction="sum"))
            correct += int((logits.argmax(1) == y).sum())
    finally:
        model.train(training)
    return loss / len(targets), correct / len(targets)


def fit(
    model: nn.Module,
    optimizer: Optimizer,
    batches: Callable[[int, int], Iterable[tuple[Tensor, Tensor]]],
    test: tuple[Tensor, Tensor],
    *,
    epochs: int,
    progress: Progress,
    scheduler: LRScheduler | None = None,
    closure: bool = False,
    after_batch: Callable[[Progress, float], None] | None = None,
) -> Iterator[EpochMetrics]:
    """Train a classifier with cross-entropy, one epoch per item of the returned iterator.

    Arguments:
        model: the classifier.
        optimizer: :class:`rankfold.TDLRT` or any other. At the end of an epoch TDLRT truncates, so that what is
            evaluated and saved has exact ranks.
        batches: gives the batches of an epoch from its number and the number of batches to skip.
        test: inputs and targets of the test set.
        epochs: train until this many are complete.
        progress: where to start; brought up to date after every batch.
        scheduler: stepped once per batch.
        closure: give the optimiser a closure, for the two-gradient step.
        after_batch: called between batches with the progress and the loss of the batch; may raise to stop.

    Returns:
        An iterator of :class:`EpochMetrics`.
    """
    model.train()
    while progress.epoch < epochs:
        started, before = time.perf_counter(), progress.seconds
        for x, y in batches(progress.epoch, progress.batch):
            loss, logits = _step(model, optimizer, x, y, closure)
            if scheduler is not None:
                scheduler.step()
            progress.batch += 1
            progress.loss_sum += loss * len(y)
            progress.correct += int((logits.argmax(1) == y).sum())
            progress.seen += len(y)
            progress.seconds = before + time.perf_counter() - started
            if after_batch is not None:
                after_batch(progress, loss)
        if isinstance(optimizer, TDLRT):
            optimizer.truncate()
        test_loss, test_accuracy = evaluate(model, *test)
        metrics = EpochMetrics(
            epoch=progress.epoch + 1,
            train_loss=progress.loss_sum / max(progress.seen, 1),
            train_accuracy=progress.correct / max(progress.seen, 1),
            test_loss=test_loss,
            test_accuracy=test_accuracy,
            learning_rate=float(optimizer.param_groups[0]["lr"]),
            seconds=progress.seconds,
        )
        progress.epoch += 1
        progress.batch, progress.loss_sum, progress.correct, progress.seen, progress.seconds = (
            0,
            0.0,
            0,
            0,
            0.0,
        )
        yield metrics


def _step(
    model: nn.Module, optimizer: Optimizer, x: Tensor, y: Tensor, closure: bool
) -> tuple[float, Tensor]:
    first: list[Tensor] = []

    def evaluate_batch() -> Tensor:
        optimizer.zero_grad()
        logits = model(x)
        loss = F.cross_entropy(logits, y)
        loss.backward()
        first.append(logits.detach())
        return loss

    if closure:
        loss = optimizer.step(evaluate_batch)  # pyright: ignore[reportArgumentType, reportCallIssue]
    else:
        loss = evaluate_batch()
        optimizer.step()
    return float(loss.detach()), first[0]
