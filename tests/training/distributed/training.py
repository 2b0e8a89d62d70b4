"""One training run that one process and several workers make alike, and its networks."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

import rankfold as rf
from rankfold.convert import factorized_layers
from rankfold.layers import Conv2d, Embedding, Linear, TTMatrixLinear

__all__ = ["NETWORKS", "batch", "network", "train"]

SHAPE, CLASSES, VOCABULARY = (2, 4, 4), 5, 11


class Sometimes(nn.Module):
    """A layer that only inputs of some workers reach."""

    def __init__(self) -> None:
        super().__init__()
        self.always, self.rare, self.last = (
            Linear(32, 12, rank=3),
            Linear(12, 12, rank=3),
            nn.Linear(12, CLASSES),
        )

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(self.always(x.flatten(1)))
        chosen = x[:, 0, 0, 0] > 1.2  # few
        if bool(chosen.any()):
            hidden = torch.where(chosen[:, None], torch.tanh(self.rare(hidden)), hidden)
        return self.last(hidden)


class Words(nn.Module):
    """Embedding, attention and a layer over a TT-matrix."""

    def __init__(self) -> None:
        super().__init__()
        self.words = Embedding(VOCABULARY, 8, rank=4)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        rf.factorize(self.attention, 4)
        self.mixed = TTMatrixLinear.from_dense(nn.Linear(8, 8), rank=2)
        self.last = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        words = (x[:, 0].flatten(1)[:, :6] * 3).abs().long() % VOCABULARY
        hidden = self.words(words)
        hidden = self.attention(hidden, hidden, hidden, need_weights=False)[0]
        return self.last(torch.tanh(self.mixed(hidden)).mean(1))


NETWORKS = {
    "conv": lambda: nn.Sequential(
        Conv2d(2, 8, 3, padding=1, rank=(2, 2)), nn.Tanh(), nn.Flatten(), Linear(128, 12, rank=3), nn.Tanh(),
        nn.Linear(12, CLASSES),
    ),
    "bare": lambda: nn.Sequential(
        nn.Flatten(), Linear(32, 12, rank=3, bias=False), Linear(12, CLASSES, rank=2, bias=False)
    ),
    "sometimes": Sometimes,
    "words": Words,
}  # fmt: skip


def network(name: str, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return NETWORKS[name]().double()


def batch(step: int, size: int) -> tuple[Tensor, Tensor]:
    """The batch of all workers together."""
    generator = torch.Generator().manual_seed(1000 + step)
    x = torch.randn(size, *SHAPE, generator=generator, dtype=torch.float64)
    teacher = torch.randn(32, CLASSES, generator=torch.Generator().manual_seed(7), dtype=torch.float64)
    return x, (x.flatten(1) @ teacher).argmax(1)


def train(
    rank: int,
    workers: int,
    *,
    net: str = "conv",
    way: str = "plain",
    inner: str = "SGD",
    steps: int = 9,
    size: int = 24,
    last: int | None = None,
    parts: int = 1,
    no_sync: bool = False,
    closure: bool = False,
    clip: float | None = None,
    ddp: dict[str, Any] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """What is left of a run: tensors, ranks after every step, and losses of the whole batch.

    Arguments:
        rank, workers: this process, of how many; each takes every so many-th sample.
        net: of NETWORKS.
        way: 'plain', or in DistributedDataParallel: 'ddp' is passed to TDLRT, 'unseen' is made before and 'late' after.
        inner: of torch.optim.
        steps, size: batches, and samples in each of them.
        last: samples in the last batch.
        parts: backward passes per step.
        no_sync: average at the last of them only.
        closure: step with a closure.
        clip: largest norm of the gradients.
        ddp: options of DistributedDataParallel.
        **options: of TDLRT.
    """
    model = network(net, seed=rank)  # those of worker 0 count
    alone = workers == 1
    run: nn.Module = model
    if way in ("ddp", "unseen") and not alone:
        run = DistributedDataParallel(model, **(ddp or {}))
    rates = {
        "SGD": {"lr": 0.1, "momentum": 0.9},
        "Adam": {"lr": 0.03},
        "AdamW": {"lr": 0.03, "weight_decay": 0.1},
    }
    # One process needs to be told of several passes; several workers always keep what a one-pass step needs.
    defaults = {"tolerance": 0.4, "tolerance_warmup": steps - 1, "core_steps": 2, "accumulate": parts > 1}
    optimizer = rf.TDLRT(
        model if way == "unseen" else run,
        getattr(torch.optim, inner),
        **{**rates[inner], **defaults, **options},
    )
    if way == "late" and not alone:
        run = DistributedDataParallel(model, **(ddp or {}))
    history, losses = [], []
    for step in range(steps):
        x, y = batch(step, last if last is not None and step == steps - 1 else size)

        def evaluate(x: Tensor = x, y: Tensor = y) -> Tensor:
            optimizer.zero_grad()
            total = torch.zeros((), dtype=torch.float64)
            for quiet, part, labels in _parts(run, optimizer, x, y, parts, no_sync and not alone):
                with quiet:
                    # As docs/distributed.md says for batches that are not shared out evenly.
                    loss = F.cross_entropy(run(part[rank::workers]), labels[rank::workers], reduction="sum")
                    (loss * workers / len(x)).backward()
                total += loss.detach() / len(x)
            return total

        if closure:
            loss = optimizer.step(evaluate)
        else:
            loss = evaluate()
            if clip is not None:
                optimizer.clip_grad_norm_(clip)
            optimizer.step()
        if not alone:
            dist.all_reduce(loss)
        losses.append(float(loss))
        history.append({name: layer.ranks for name, layer in factorized_layers(model)})
    state = optimizer.state_dict()["state"]
    return {
        "parameters": {name: value.detach().clone() for name, value in model.named_parameters()},
        "weights": {name: layer.weight.detach().clone() for name, layer in factorized_layers(model)},
        "state": {f"{key}.{name}": value for key, entry in state.items() for name, value in entry.items()},
        "ranks": history,
        "losses": losses,
    }


def _parts(
    run: nn.Module, optimizer: rf.TDLRT, x: Tensor, y: Tensor, parts: int, no_sync: bool
) -> Iterator[tuple[AbstractContextManager[Any], Tensor, Tensor]]:
    quiet = run.no_sync if isinstance(run, DistributedDataParallel) else optimizer.no_sync
    for part in range(parts):
        held = no_sync and part < parts - 1
        yield quiet() if held else nullcontext(), x[part::parts], y[part::parts]
