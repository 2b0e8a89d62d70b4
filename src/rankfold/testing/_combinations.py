"""One small network for every form of weights, and whether a combination of parts trains it."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rankfold import TDLRT
from rankfold._errors import RankfoldError
from rankfold._registry import Registry
from rankfold.formats import CP, TT, Format
from rankfold.init import initialize
from rankfold.layers import Linear, TTMatrixLinear, format_sites, write_weight
from rankfold.regularize import Regularizer
from rankfold.training import INTEGRATORS

__all__ = ["FORMS", "OPTIMIZERS", "CombinationForm", "Outcome", "combine"]

#: Optimisers of torch, and the integrators of TDLRT over SGD.
OPTIMIZERS = ("sgd", "adam", *INTEGRATORS)

_SIZE, _RANK = 8, 4
_STEPS = 9  # three cycles of TDLRT, each of a basis step and two core steps


@dataclass(frozen=True, slots=True)
class CombinationForm:
    """How the first layer of the small network stores its weight.

    Arguments:
        name: for tables.
        layer: makes the layer.
        summary: in words.
        has_ranks: whether initialisers of formats apply.
    """

    name: str
    layer: Callable[[], nn.Module]
    summary: str
    has_ranks: bool = True


def _written(value: Callable[[Tensor], Format]) -> nn.Module:
    layer = nn.Linear(_SIZE, _SIZE)
    return write_weight(layer, value(layer.weight.detach()))


def _components(weight: Tensor) -> CP:
    left, values, right = torch.linalg.svd(weight)
    return CP(values[:_RANK], (left[:, :_RANK], right[:_RANK].mT))


FORMS: Registry[CombinationForm] = Registry(
    "form",
    CombinationForm("dense", lambda: nn.Linear(_SIZE, _SIZE), "a plain layer", has_ranks=False),
    CombinationForm("tucker", lambda: Linear(_SIZE, _SIZE, rank=_RANK), "a layer of this library"),
    CombinationForm("cp", lambda: _written(_components), "a plain layer whose weight is CP"),
    CombinationForm(
        "tt",
        lambda: _written(lambda weight: TT.from_dense(weight, ranks=_RANK)),
        "a plain layer whose weight is TT",
    ),
    CombinationForm(
        "tt_matrix",
        lambda: TTMatrixLinear(_SIZE, _SIZE, rank=_RANK, out_sizes=(2, 4), in_sizes=(4, 2)),
        "a layer of this library",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of a combination.

    Arguments:
        refused: the message of the error that refused it, or None.
        losses: of the task, at every step.
        moved: whether the weight of the regularised layer changed.
        ranks: that the layer had, in order; one where they did not change.
    """

    refused: str | None = None
    losses: tuple[float, ...] = ()
    moved: bool = False
    ranks: tuple[tuple[int, ...], ...] = ()


@cache  # the contract suite and the page of combinations try the same ones
def combine(
    form: str,
    regularizer: Regularizer | None,
    optimizer: str,
    initializer: str | None,
    *,
    strength: float = 0.02,
) -> Outcome:
    """Train a network of two layers for a few steps, the first one in the form and under the regulariser.

    The second layer is a Tucker one, so that TDLRT always has one to train. Whatever the first is, the optimiser trains
    both.

    Arguments:
        form: a name in :data:`FORMS`.
        regularizer: of the first layer, or None.
        optimizer: one of :data:`OPTIMIZERS`.
        initializer: a name in :data:`rankfold.init.INITIALIZERS`, or None to leave the layers as they are made.
        strength: of the regulariser.

    Returns:
        The outcome; an error of this library is one, any other error is raised.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        inputs = torch.randn(64, _SIZE)
        labels = (inputs @ torch.randn(_SIZE, 4)).argmax(1)
        model = nn.Sequential(FORMS[form].layer(), nn.ReLU(), Linear(_SIZE, 4, rank=3))
        try:
            if initializer is not None:
                initialize(model, initializer, rescale=True)
            term = None if regularizer is None else regularizer.attach(model[0], strength)
            trainer = _optimizer(model, optimizer)
        except RankfoldError as error:
            return Outcome(refused=str(error))
        return _train(model, trainer, term, inputs, labels)


def _optimizer(model: nn.Module, name: str) -> torch.optim.Optimizer:
    if name == "sgd":
        return torch.optim.SGD(model.parameters(), lr=0.1)
    if name == "adam":
        return torch.optim.Adam(model.parameters(), lr=0.02)
    return TDLRT(model, torch.optim.SGD, lr=0.1, tolerance=0.2, core_steps=2, integrator=name)


def _train(
    model: nn.Sequential,
    trainer: torch.optim.Optimizer,
    term: Callable[[], Tensor] | None,
    inputs: Tensor,
    labels: Tensor,
) -> Outcome:
    weight: Any = model[0].weight
    before, losses, ranks = weight.detach().clone(), [], [_ranks(model[0])]
    for _ in range(_STEPS):
        trainer.zero_grad()
        loss = F.cross_entropy(model(inputs), labels)
        (loss if term is None else loss + term()).backward()
        trainer.step()
        losses.append(float(loss.detach()))
        if _ranks(model[0]) != ranks[-1]:
            ranks.append(_ranks(model[0]))
    weight = model[0].weight
    moved = not torch.equal(weight.detach(), before)
    return Outcome(losses=tuple(losses), moved=moved, ranks=tuple(ranks))


def _ranks(layer: nn.Module) -> tuple[int, ...]:
    return next((site.value.ranks for site in format_sites(layer)), ())
