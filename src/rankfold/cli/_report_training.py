"""The folder of a training run as the record that its page is made from."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import rankfold
from rankfold._checkpoint._file import read_file
from rankfold._checkpoint._words import brief
from rankfold._display import finite
from rankfold._errors import CheckpointError, NonFiniteError, RankfoldError
from rankfold.cli._new_folder import is_name_of_time
from rankfold.cli._optimizers import OPTIMIZERS
from rankfold.cli._report_diagnostics import read_states
from rankfold.cli._report_layers import layer_records
from rankfold.cli._run_folder import RunFolder
from rankfold.cli._run_times import read_times
from rankfold.cli._stored_config import to_plain
from rankfold.cli._train_config import TrainConfig
from rankfold.cli._words_of import words_of
from rankfold.data import DATASETS
from rankfold.models import build_model
from rankfold.report.page import FailureRecord, LayerRecord, RankChange, TrainingRecord

__all__ = ["read_training"]

_SENTENCE = 600  # letters of a failure that are shown
_LARGEST = 2**53  # whole numbers and seconds up to this are floats without loss


def read_training(path: Path, name: str) -> TrainingRecord:
    """Read a run, complete or not.

    Arguments:
        path: its folder.
        name: what it is called on the page.

    Raises:
        CheckpointError: a file is missing, damaged, or does not belong to the others.
    """
    folder = RunFolder(path)
    config = folder.read_config()
    try:
        layers, versions = _model(folder, config)
        metrics = tuple(_metrics(folder))
        record = TrainingRecord(
            name=name,
            settings=to_plain(config),
            metrics=metrics,
            changes=_changes(folder),
            layers=layers,
            versions=versions,
            command=_command(config, path),
            usual=_usual(config),
            classes=DATASETS[config.data].classes,
            times=read_times(folder, len(metrics)),
            failure=_failure(folder),
            states=read_states(folder.diagnostics),
        )
        if layers and record.parameters is None:
            raise CheckpointError(f"{folder.metrics}: there is a model but no line; restore the file.")
        for layer in layers:
            for change in record.changes.get(layer.name, ())[:1]:
                if len(change.ranks) != len(layer.shape):
                    raise CheckpointError(
                        f"{folder.ranks}: the ranks of {layer.name!r} are not those of the model; restore the file."
                    )
    except RankfoldError:
        raise
    except (KeyError, TypeError, ValueError, IndexError, AttributeError, OverflowError) as error:
        raise CheckpointError(
            f"{path}: the run is damaged ({type(error).__name__}: {brief(error)}); restore its files."
        ) from None
    return record


def _metrics(folder: RunFolder) -> list[dict[str, Any]]:
    """The lines of metrics.jsonl; losses and accuracies may be NaN, as JSON of Python may hold it."""
    lines = folder.read_lines(folder.metrics)
    for line in lines:
        for name in ("train_loss", "test_loss", "train_accuracy", "test_accuracy", "seconds", "parameters"):
            if isinstance(line.get(name), bool) or not isinstance(line.get(name), int | float):
                raise CheckpointError(
                    f"{folder.metrics}: a line lacks the number {name!r}; restore the file."
                )
        count = line["parameters"]
        if not 0 <= line["seconds"] < _LARGEST or type(count) is not int or not 0 < count < _LARGEST:
            raise CheckpointError(
                f"{folder.metrics}: a line has no seconds or parameters that can be; restore the file."
            )
    return lines


def _changes(folder: RunFolder) -> dict[str, tuple[RankChange, ...]]:
    changes: dict[str, list[RankChange]] = {}
    for line in folder.read_lines(folder.ranks):
        try:
            change = RankChange(
                step=_whole([line["step"]])[0],
                before=_whole(line["ranks_before"]),
                ranks=_whole(line["ranks"]),
                error=finite(line["truncation_error"]),
                capped=bool(line["rank_capped"]),
            )
            before = changes.setdefault(str(line["layer"]), [])
            same = not before or len(before[0].ranks) == len(change.ranks)
            if not same or len(change.before) != len(change.ranks) or not change.ranks:
                raise ValueError("ranks of another number of modes")
            if change.step < (before[-1].step if before else 0):
                raise ValueError("steps that go back")
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{folder.ranks}: a line is damaged ({type(error).__name__}: {brief(error)}); restore the file."
            ) from None
        before.append(change)
    return {layer: tuple(entries) for layer, entries in changes.items()}


def _whole(values: list[Any]) -> tuple[int, ...]:
    if not isinstance(values, list) or not all(
        type(value) is int and 0 <= value < _LARGEST for value in values
    ):
        raise ValueError(f"whole numbers are {brief(values, 60)}")
    return tuple(values)


def _model(folder: RunFolder, config: TrainConfig) -> tuple[tuple[LayerRecord, ...], dict[str, str]]:
    if not folder.model.exists():
        return (), {}
    _, header = read_file(folder.model)
    data = DATASETS[config.data]
    with torch.random.fork_rng(devices=()):  # the training that goes on must not notice
        network = build_model(config.model, classes=data.classes, input_shape=data.input_shape)
    rankfold.load(network, folder.model)
    versions = (header or {}).get("versions", {})
    return layer_records(network, data.input_shape), {str(key): str(value) for key, value in versions.items()}


def _failure(folder: RunFolder) -> FailureRecord | None:
    record = folder.read_record(folder.failure)
    if record is None:
        return None
    return FailureRecord(
        epoch=_whole([record["epoch"]])[0],
        sentence=brief(record["sentence"], _SENTENCE),
        diverged=record["kind"] == NonFiniteError.__name__,
    )


def _usual(config: TrainConfig) -> dict[str, Any]:
    """The settings as they are by default, with the learning rate that is usual for the optimiser."""
    usual = to_plain(TrainConfig())
    return {**usual, "learning_rate": OPTIMIZERS[config.optimizer].learning_rate}


def _command(config: TrainConfig, path: Path) -> str:
    """The words that make the run again in its folder, unless the time gave that its name."""
    usual = OPTIMIZERS[config.optimizer].learning_rate
    left = ("resume", *(("learning_rate",) if config.learning_rate == usual else ()))
    named = path.name and not is_name_of_time(path.resolve().name, config)  # runs/latest is a link
    return words_of("train", replace(config, out=path) if named else config, leave_out=left)
