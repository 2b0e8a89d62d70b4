"""Where a new run goes."""

import contextlib
import re
from datetime import datetime
from pathlib import Path

from rankfold.cli._run_folder import RunFolder
from rankfold.cli._train_config import TrainConfig

__all__ = ["is_name_of_time", "make_new", "place_of_new"]

_ROOT = Path("runs")


def place_of_new(config: TrainConfig) -> RunFolder:
    """The folder of a new run, not made yet: ``--out``, or a name in ``runs`` that is free."""
    if config.out is not None:
        return RunFolder(config.out)
    name = f"{config.model}-{config.data}-{datetime.now():%Y%m%d-%H%M%S}"
    path, count = _ROOT / name, 1
    while path.exists():
        count += 1
        path = _ROOT / f"{name}-{count}"
    return RunFolder(path)


def is_name_of_time(name: str, config: TrainConfig) -> bool:
    """Whether a folder is called what :func:`place_of_new` calls one without ``--out``.

    Example:
        >>> is_name_of_time("mlp-digits-20261130-101500", TrainConfig(model="mlp"))
        True
    """
    made = rf"{re.escape(config.model)}-{re.escape(config.data)}-\d{{8}}-\d{{6}}(-\d+)?"
    return re.fullmatch(made, name) is not None


def make_new(folder: RunFolder, config: TrainConfig) -> None:
    """Make the folder; where its name was not given, ``runs/latest`` points to it from now on.

    Raises:
        CheckpointError: the folder holds a run already, or cannot be made.
    """
    folder.create(config)
    if config.out is None:
        _point_to(folder.path)


def _point_to(path: Path) -> None:
    # A convenience, so a file system without links does without it.
    with contextlib.suppress(OSError):
        link = path.parent / f".latest-{path.name}"
        link.symlink_to(path.name, target_is_directory=True)
        try:
            link.replace(path.parent / "latest")
        finally:
            link.unlink(missing_ok=True)
