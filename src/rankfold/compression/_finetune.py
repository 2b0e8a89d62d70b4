"""Train a compressed model along the manifold of its ranks."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.optim.lr_scheduler import LambdaLR

from rankfold._errors import OptionError
from rankfold.compression._moments import call_model
from rankfold.training import TDLRT

__all__ = ["FineTuning", "finetune_model"]


def cross_entropy(outputs: Any, batch: Any) -> Tensor:
    """Mean cross-entropy of logits against the targets, the second element of a batch."""
    return F.cross_entropy(outputs, batch[1])


@dataclass(frozen=True, kw_only=True)
class FineTuning:
    """How :func:`rankfold.compress` trains a model between truncation and folding, at the ranks it was given.

    Batch normalisation keeps its running statistics, to which truncated layers were fitted; its weights are trained.

    Arguments:
        batches: a DataLoader or a list, read once per epoch, or a function that gives one from the number of the
            epoch; of pairs of inputs and targets, or what ``loss`` takes.
        epochs: at least 1.
        loss: a function of the model's outputs and the batch, by default the mean cross-entropy.
        lr: learning rate of SGD at its peak, over 0; it rises over the first tenth and falls to zero as a cosine.
        momentum: of SGD, in [0, 1).
        weight_decay: of SGD, at least 0.
        max_norm: gradients are scaled to at most this norm, over 0; truncated networks have large ones at first.
        distillation: share of the loss that compares the outputs with those of the dense model, in [0, 1]; at 1 no
            labels are needed.
        temperature: of the softmax on both sides of that comparison, over 0.
        on_step: called after every step with its number, the number of all steps, and the loss; may raise to stop.

    Raises:
        OptionError: an argument out of range.

    Reference:
        Distillation as in Hinton, Vinyals, Dean 2015, "Distilling the knowledge in a neural network", section 2.

    Example:
        >>> import torch
        >>> data = [(torch.randn(8, 4), torch.randint(0, 2, (8,)))]
        >>> FineTuning(batches=data, epochs=2).epochs
        2
    """

    batches: Iterable[Any] | Callable[[int], Iterable[Any]] = field(repr=False)
    epochs: int = 1
    loss: Callable[[Any, Any], Tensor] = cross_entropy
    lr: float = 0.01
    momentum: float = 0.9
    weight_decay: float = 0.0
    max_norm: float = 1.0
    distillation: float = 0.0
    temperature: float = 4.0
    on_step: Callable[[int, int, float], None] | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        limits = (
            (
                "epochs",
                self.epochs,
                self.epochs >= 1 and self.epochs == int(self.epochs),
                "a whole number of at least 1",
            ),
            ("lr", self.lr, 0 < self.lr < math.inf, "over 0"),
            ("momentum", self.momentum, 0 <= self.momentum < 1, "in [0, 1)"),
            ("weight_decay", self.weight_decay, 0 <= self.weight_decay < math.inf, "at least 0"),
            ("max_norm", self.max_norm, self.max_norm > 0, "over 0"),
            ("distillation", self.distillation, 0 <= self.distillation <= 1, "in [0, 1]"),
            ("temperature", self.temperature, 0 < self.temperature < math.inf, "over 0"),
        )
        for name, value, allowed, words in limits:
            if not allowed:
                raise OptionError(f"FineTuning: {name} must be {words}, got {value!r}; choose such a value.")
        if not callable(self.batches):
            _length(self.batches)


def finetune_model(model: nn.Module, plan: FineTuning, teacher: nn.Module | None) -> None:
    """Train the factorised layers of a model with TDLRT at fixed ranks, and the rest with SGD, in place.

    Arguments:
        model: with factorised layers; its training flags are as they were at the end.
        plan: how.
        teacher: the dense model, for distillation.
    """
    flags = {module: module.training for module in model.modules()}
    if teacher is not None:
        teacher.eval()
    step = 0
    try:
        model.train()
        for module in model.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
        optimizer = TDLRT(
            model,
            torch.optim.SGD,
            integrator="fixed",
            core_steps=1,
            lr=plan.lr,
            momentum=plan.momentum,
            weight_decay=plan.weight_decay,
        )
        total = plan.epochs * _length(_epoch(plan, 0))
        scheduler = LambdaLR(optimizer, lambda step: _schedule(step, total))
        for epoch in range(plan.epochs):
            for batch in _epoch(plan, epoch):
                optimizer.zero_grad()
                outputs = call_model(model, batch)
                loss = _loss(plan, outputs, batch, teacher)
                loss.backward()
                optimizer.clip_grad_norm_(plan.max_norm)
                optimizer.step()
                scheduler.step()
                step += 1
                if plan.on_step is not None:
                    plan.on_step(step, total, float(loss.detach()))
        optimizer.truncate()
        optimizer.zero_grad()
    finally:
        for module, flag in flags.items():
            module.training = flag


def _loss(plan: FineTuning, outputs: Any, batch: Any, teacher: nn.Module | None) -> Tensor:
    if teacher is None:
        return plan.loss(outputs, batch)
    distance = _distance(outputs, teacher, batch, plan.temperature)
    if plan.distillation == 1:  # there may be no labels
        return distance
    return (1 - plan.distillation) * plan.loss(outputs, batch) + plan.distillation * distance


def _epoch(plan: FineTuning, number: int) -> Any:
    return plan.batches(number) if callable(plan.batches) else plan.batches


def _length(batches: Any) -> int:
    try:
        length = len(batches)
    except TypeError:  # that of a DataLoader over an IterableDataset too
        raise OptionError(
            f"FineTuning: batches is a {type(batches).__name__} of unknown length, which the learning rate depends on; "
            "pass a DataLoader, a list, or a function from the epoch to one of these."
        ) from None
    if length == 0:
        raise OptionError("FineTuning: batches is empty; pass at least one batch, or leave fine-tuning out.")
    return length


def _schedule(step: int, total: int) -> float:
    rise = max(total // 10, 1)
    if step < rise:
        return (step + 1) / rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(total - rise, 1)))


def _distance(outputs: Any, teacher: nn.Module, batch: Any, temperature: float) -> Tensor:
    with torch.no_grad():
        wanted = call_model(teacher, batch)
    if not (isinstance(outputs, Tensor) and isinstance(wanted, Tensor)):
        raise OptionError(
            "FineTuning: distillation compares tensors, and this model returns something else; set it to 0."
        )
    mine, theirs = (F.log_softmax(logits.flatten(0, -2) / temperature, -1) for logits in (outputs, wanted))
    return F.kl_div(mine, theirs, log_target=True, reduction="batchmean") * temperature**2
