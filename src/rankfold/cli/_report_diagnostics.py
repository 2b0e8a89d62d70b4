"""The lines of diagnostics.jsonl as what a page draws."""

from dataclasses import fields
from pathlib import Path
from typing import Any

from rankfold._checkpoint._words import brief
from rankfold._display import finite
from rankfold._errors import CheckpointError
from rankfold.cli._run_folder import RunFolder
from rankfold.diagnostics import LayerState
from rankfold.report.page import MonitorRecord

__all__ = ["holds_states", "read_monitor", "read_states"]

_NAMES = frozenset(field.name for field in fields(LayerState))
_WHOLE = ("step", "rank", "update_rank")
_LARGEST = 2**53  # whole numbers up to this are floats without loss


def holds_states(path: Path) -> bool:
    """Whether a monitor wrote a file, by its name."""
    return path.name.endswith("diagnostics.jsonl") and path.is_file()


def read_monitor(path: Path, name: str) -> MonitorRecord:
    """Read what :meth:`rankfold.diagnostics.TrainingMonitor.write` wrote.

    Arguments:
        path: the file.
        name: what it is called on the page.

    Raises:
        CheckpointError: a line is damaged.
    """
    return MonitorRecord(name=name, states=read_states(path))


def read_states(file: Path) -> tuple[LayerState, ...]:
    """What was seen of the layers of a training, in the order of the steps; nothing where there is no file.

    Arguments:
        file: diagnostics.jsonl.

    Raises:
        CheckpointError: a line is damaged.
    """
    states = []
    for line in RunFolder(file.parent).read_lines(file):
        try:
            states.append(_state(line))
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"{file}: a line is damaged ({type(error).__name__}: {brief(error)}); restore the file."
            ) from None
    return tuple(sorted(states, key=lambda state: state.step))


def _state(line: dict[str, Any]) -> LayerState:
    if line.keys() != _NAMES:
        raise ValueError(f"its names are {brief(sorted(line), 200)}")
    for name in _WHOLE:
        if type(line[name]) is not int or not 0 <= line[name] < _LARGEST:
            raise ValueError(f"{name} is {brief(line[name], 60)}")
    numbers = {
        name: None if line[name] is None else finite(line[name]) for name in _NAMES - {"layer", *_WHOLE}
    }
    return LayerState(**{**line, **numbers, "layer": str(line["layer"])})
