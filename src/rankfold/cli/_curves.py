"""Curves of a training run for TensorBoard."""

from collections.abc import Mapping
from typing import Any, Self

from rankfold.cli._training_run import TrainingRun
from rankfold.training import TensorBoardLog

__all__ = ["Curves"]

# Names of curves, by groups as TensorBoard shows them, and where their values stand in a line of metrics.jsonl.
_OF_EPOCHS = {
    "loss/train": "train_loss",
    "loss/test": "test_loss",
    "accuracy/train": "train_accuracy",
    "accuracy/test": "test_accuracy",
    "size/parameters": "parameters",
    "size/compression": "compression",
}


class Curves:
    """Writes what happens to a run into its folder, all over optimiser steps.

    A run that is taken up again goes on where its checkpoint left off: later steps, which come again, are not shown.

    Arguments:
        run: before its first batch.

    Raises:
        OptionError: the package tensorboard is not installed.
    """

    def __init__(self, run: TrainingRun) -> None:
        self._run = run
        self._log = TensorBoardLog(run.folder.tensorboard, purge_step=self._steps + 1)
        run.rank_log.listeners.append(self._log)

    def add_batch(self, loss: float) -> None:
        """Take note of a batch that is done."""
        self._add("loss/batch", loss)
        self._add("learning_rate", self._run.optimizer.param_groups[0]["lr"])

    def add_epoch(self, line: Mapping[str, Any]) -> None:
        """Take note of an epoch, and bring everything to disk.

        Arguments:
            line: of metrics.jsonl.
        """
        for name, key in _OF_EPOCHS.items():
            self._add(name, line[key])
        self._log.writer.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        self._log.close()

    def _add(self, name: str, value: float) -> None:
        self._log.writer.add_scalar(name, value, self._steps)

    @property
    def _steps(self) -> int:
        progress = self._run.progress
        return progress.epoch * self._run.data.batches_per_epoch + progress.batch
