"""What a folder holds, and how its page is made: a registry that other commands add to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rankfold._errors import CheckpointError
from rankfold._registry import Registry
from rankfold.cli._report_decomposition import read_decomposition
from rankfold.cli._report_training import read_training
from rankfold.report.page import Page, decomposition_page, training_page

__all__ = ["SOURCES", "Source", "source_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One kind of folder.

    Arguments:
        name: the command that writes it.
        file: whose presence says so.
        read: from a folder and a name to a record; raises CheckpointError.
        page: from records and the folders as they would be typed to a page.
    """

    name: str
    file: str
    read: Callable[[Path, str], Any]
    page: Callable[[Sequence[Any], Sequence[str]], Page]


SOURCES: Registry[Source] = Registry(
    "run folder",
    Source(name="train", file="config.json", read=read_training, page=training_page),
    Source(name="decompose", file="summary.json", read=read_decomposition, page=decomposition_page),
)


def source_of(folder: Path) -> Source:
    """What wrote a folder.

    Raises:
        CheckpointError: there is none, or nothing in it that is known.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: there is no such folder; pass the folder of a run.")
    for source in SOURCES.values():
        if (folder / source.file).is_file():
            return source
    known = ", ".join(f"{source.file} of rankfold {source.name}" for source in SOURCES.values())
    raise CheckpointError(f"{folder}: there is no run here, known are {known}; pass the folder of a run.")
