"""A training run: what is trained, how far it is, and the files it keeps."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

import rankfold
from rankfold._errors import NonFiniteError
from rankfold.cli._build import Data
from rankfold.cli._random_state import random_state
from rankfold.cli._run_folder import RunFolder
from rankfold.cli._train_config import TrainConfig
from rankfold.diagnostics import TrainingMonitor
from rankfold.report import layer_rows, layouts_of, saved_share
from rankfold.training import EpochMetrics, Progress

__all__ = ["RankLog", "TrainingRun"]


@dataclass
class RankLog:
    """The truncations worth a line: of each layer the first, and every one that changed its ranks.

    Arguments:
        lines: those written down so far.
        listeners: called with every record.
    """

    lines: list[dict[str, Any]] = field(default_factory=list)
    listeners: list[Callable[[rankfold.RankRecord], object]] = field(default_factory=list)

    def add(self, record: rankfold.RankRecord) -> None:
        """Take note of a truncation."""
        for listener in self.listeners:
            listener(record)
        known = any(line["layer"] == record.layer for line in self.lines)
        if not known or record.ranks != record.ranks_before:
            self.lines.append(asdict(record))


@dataclass
class TrainingRun:
    """Everything that changes while a run goes on.

    Arguments:
        config: its settings.
        folder: its files.
        data: what it learns from.
        model: what is trained.
        optimizer, scheduler: what trains it.
        rank_log: the lines of ranks.jsonl.
        monitor: looks at the layers after every epoch, or None.
        diagnosed: the lines of diagnostics.jsonl.
        progress: how far it is, to the batch.
        metrics: the lines of metrics.jsonl.
        earlier: seconds that earlier processes spent on it.
    """

    config: TrainConfig
    folder: RunFolder
    data: Data
    model: nn.Module
    optimizer: Optimizer
    scheduler: LambdaLR
    rank_log: RankLog
    monitor: TrainingMonitor | None = None
    diagnosed: list[dict[str, Any]] = field(default_factory=list)
    progress: Progress = field(default_factory=Progress)
    metrics: list[dict[str, Any]] = field(default_factory=list)
    earlier: float = 0.0

    def __post_init__(self) -> None:
        self._started = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Time spent on this run, interruptions apart."""
        return self.earlier + time.perf_counter() - self._started

    @property
    def complete(self) -> bool:
        """Whether all epochs are done."""
        return self.progress.epoch >= self.config.epochs

    def end_epoch(self, metrics: EpochMetrics) -> dict[str, Any]:
        """Write down an epoch and save the model, which is at its exact ranks now.

        Returns:
            The new line of metrics.jsonl.
        """
        line = {
            **asdict(metrics),
            "parameters": sum(parameter.numel() for parameter in self.model.parameters()),
            "compression": saved_share(layer_rows(layouts_of(self.model))),
        }
        self.metrics.append(line)
        self.diagnose()
        rankfold.save(self.model, self.folder.model)
        self.save()
        return line

    def diagnose(self) -> None:
        """Look at every layer as it is now, where the run has a monitor."""
        if self.monitor is None:
            return
        with suppress(NonFiniteError):  # who only looks ends no training; the metrics tell of it
            self.monitor(self.progress.epoch * self.data.batches_per_epoch)
        self.diagnosed += [asdict(state) for state in self.monitor.states]
        self.monitor.states.clear()

    def save(self) -> None:
        """Write lines and checkpoint.

        The checkpoint comes last and counts the lines, so whatever happens in between, it tells which lines
        belong to it.
        """
        self.folder.write_lines(self.folder.metrics, self.metrics)
        self.folder.write_lines(self.folder.ranks, self.rank_log.lines)
        if self.diagnosed:
            self.folder.write_lines(self.folder.diagnostics, self.diagnosed)
        self.folder.write_checkpoint(
            {
                "layouts": layouts_of(self.model),
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "scheduler": self.scheduler.state_dict(),
                "progress": asdict(self.progress),
                "random": random_state(),
                "elapsed": self.seconds,
                "lines": {
                    "metrics": len(self.metrics),
                    "ranks": len(self.rank_log.lines),
                    "diagnostics": len(self.diagnosed),
                },
            },
            self.config.keep,
        )
