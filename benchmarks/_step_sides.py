"""The sides of the step benchmarks: ways to train one network, each called for what is timed."""

from collections.abc import Iterator
from itertools import cycle
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks._published_step import PublishedTDLRT, published_model
from rankfold import TDLRT, RankPolicy

__all__ = ["NO_LIMIT", "CycleSide", "PublishedSide", "Side", "random_batches"]

# Small, so that networks without batch normalisation stay finite over many steps on random labels.
_OPTIONS = {"lr": 1e-3, "momentum": 0.9}
#: As min_rank it holds every rank at max_rank.
NO_LIMIT = 1 << 30

Batch = tuple[Tensor, Tensor]


def random_batches(shape: tuple[int, ...], size: int, device: str, count: int = 8) -> list[Batch]:
    """Batches made before the clock runs, each larger than the caches, so that none finds its inputs there."""
    images = [torch.randn(size, *shape, device=device) for _ in range(count)]
    labels = [torch.randint(0, 10, (size,), device=device) for _ in range(count)]
    return list(zip(images, labels, strict=True))


class Side:
    """Plain SGD with momentum; a call is one step on the next batch.

    Arguments:
        model: the network.
        batches: used one after another, over and over.
        channels_last: memory layout of model and images.
        bf16: run forward and backward under autocast.
    """

    def __init__(
        self, model: nn.Module, batches: list[Batch], *, channels_last: bool = True, bf16: bool = False
    ) -> None:
        device = batches[0][0].device
        self.model, self.device, self.bf16 = model.to(device), device, bf16
        if channels_last and batches[0][0].ndim == 4:
            self.model = self.model.to(memory_format=torch.channels_last)
            batches = [(x.contiguous(memory_format=torch.channels_last), y) for x, y in batches]
        self.batches: Iterator[Batch] = cycle(batches)
        self.batch = batches[0]
        self.steps_per_call = 1
        self.optimizer = self._optimizer()

    def _optimizer(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.model.parameters(), **_OPTIONS)

    def evaluate(self) -> Tensor:
        """Forward and backward on the current batch."""
        inputs, targets = self.batch
        self.optimizer.zero_grad()
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.bf16):
            loss = F.cross_entropy(self.model(inputs), targets)
        loss.backward()
        return loss

    def step(self) -> None:
        """One step on the next batch."""
        self.batch = next(self.batches)
        self.evaluate()
        self.optimizer.step()

    def __call__(self) -> None:
        self.step()
        self._synchronize()

    def _synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def check(self) -> None:
        """That each timed step did the work it stands for."""


class CycleSide(Side):
    """TDLRT; a call is a whole cycle, from widening the bases to cutting them back; one step if they are frozen.

    Arguments:
        model: a factorised network.
        batches: as of :class:`Side`.
        rank: the policy that gave the network its ranks; they are the same at the end of every cycle.
        options: of TDLRT.
        bf16: as of :class:`Side`.
    """

    def __init__(
        self,
        model: nn.Module,
        batches: list[Batch],
        rank: RankPolicy | int,
        options: dict[str, Any],
        *,
        bf16: bool = False,
    ) -> None:
        self.truncated, self.frozen = False, options.get("freeze_bases_after") == 0
        # The tolerance decides nothing between two equal limits, but the library picks its algorithm by it.
        self.options = {"tolerance": 0.1, "min_rank": NO_LIMIT, "max_rank": rank, **options, **_OPTIONS}
        super().__init__(model, batches, bf16=bf16)

    def _optimizer(self) -> TDLRT:
        optimizer = TDLRT(self.model, torch.optim.SGD, on_truncation=self._note, **self.options)
        self.ranks = {name: layer.ranks for name, layer in optimizer.layers.items()}
        return optimizer

    def _note(self, record: object) -> None:
        self.truncated = True

    def __call__(self) -> None:
        self.truncated, self.steps_per_call = self.frozen, 0
        while not (self.truncated and self.steps_per_call):
            self.step()
            self.steps_per_call += 1
        self._synchronize()

    def check(self) -> None:
        """Ranks neither grew nor fell."""
        assert isinstance(self.optimizer, TDLRT)
        ranks = {name: layer.ranks for name, layer in self.optimizer.layers.items()}
        assert ranks == self.ranks, f"ranks moved from {self.ranks} to {ranks}"


class PublishedSide(Side):
    """The published five-pass step, at fixed ranks; dense parameters by SGD with momentum."""

    def __init__(self, model: nn.Sequential, batches: list[Batch]) -> None:
        # Cores and factors of the copy are no parameters, so the original goes to the device.
        super().__init__(published_model(model.to(batches[0][0].device)), batches)
        assert isinstance(self.model, nn.Sequential)
        self.published = PublishedTDLRT(self.model, _OPTIONS["lr"], self.optimizer, keep_ranks=True)
        self.ranks = [layer.core.shape for layer in self.published.layers]

    def step(self) -> None:
        """One step on the next batch."""
        self.batch = next(self.batches)
        self.published.step(self.evaluate)

    def check(self) -> None:
        """Ranks neither grew nor fell."""
        assert [layer.core.shape for layer in self.published.layers] == self.ranks
