"""The newest of several files that is whole."""

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from rankfold._errors import CheckpointError

__all__ = ["WholeFile", "newest_whole", "set_aside"]

_Content = TypeVar("_Content")


@dataclass(frozen=True, slots=True)
class WholeFile(Generic[_Content]):
    """What was read.

    Arguments:
        path: where from.
        content: of the file.
        damaged: what is wrong with each newer file, a sentence by path.
    """

    path: Path
    content: _Content
    damaged: dict[Path, str]


def newest_whole(
    paths: Sequence[Path],
    read: Callable[[Path], _Content],
    anywhere: Callable[[bool], bool] = bool,
) -> WholeFile[_Content]:
    """Read the first file that is not damaged.

    Arguments:
        paths: the newest first, at least one.
        read: raises CheckpointError, with ``damaged`` set where an older file can take its place.
        anywhere: whether something is so for any worker; all of them call it equally often.

    Raises:
        CheckpointError: all are damaged, or one that was tried cannot be opened or is of another format.
    """
    damaged: dict[Path, str] = {}
    for path in paths:
        content, here, failure = None, None, None
        try:
            content = read(path)
        except CheckpointError as error:
            if error.damaged:
                here = str(error)
            else:  # an older file is no answer to this
                failure = error
        if anywhere(failure is not None):
            raise failure or CheckpointError(f"{path}: another worker cannot read it; its message says why.")
        if not anywhere(here is not None):
            assert content is not None
            return WholeFile(path, content, damaged)
        damaged[path] = here or f"{path}: the file is damaged, another worker says."
    if len(damaged) == 1:
        raise CheckpointError(*damaged.values())
    raise CheckpointError(
        f"{paths[0].parent}: all {len(damaged)} checkpoints are damaged, the newest: {damaged[paths[0]]}"
    )


def set_aside(paths: Sequence[Path]) -> None:
    """Rename damaged files, so that none takes the place of a whole one; where that is not allowed they stay."""
    for path in paths:
        with contextlib.suppress(OSError):
            path.replace(path.with_name(f"{path.name}.damaged"))
