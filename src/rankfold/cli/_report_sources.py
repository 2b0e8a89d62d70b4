"""What a run left, and how its page is made: a registry that other commands add to."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rankfold._errors import CheckpointError
from rankfold._registry import Registry
from rankfold.cli._compress_config import RECORD
from rankfold.cli._report_bench_layer import holds_bench, read_bench
from rankfold.cli._report_compression import read_compression_record
from rankfold.cli._report_decomposition import read_decomposition
from rankfold.cli._report_diagnostics import holds_states, read_monitor
from rankfold.cli._report_study import read_study
from rankfold.cli._report_training import read_training
from rankfold.report.page import (
    Page,
    bench_page,
    compression_page,
    decomposition_page,
    monitor_page,
    study_page,
    training_page,
)

__all__ = ["SOURCES", "Source", "source_of"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One kind of folder or file.

    Arguments:
        name: the command that writes it.
        what: what it is, in words, for the message that lists what is known.
        holds: whether a path is of this kind; False of a path where nothing is.
        read: from a path and a name to a record; raises CheckpointError.
        page: from records and the paths as they would be typed to a page.
    """

    name: str
    what: str
    holds: Callable[[Path], bool]
    read: Callable[[Path, str], Any]
    page: Callable[[Sequence[Any], Sequence[str]], Page]


SOURCES: Registry[Source] = Registry(
    "run",
    Source(
        name="train",
        what="folders with config.json",
        holds=lambda path: (path / "config.json").is_file(),
        read=read_training,
        page=training_page,
    ),
    Source(
        name="decompose",
        what="folders with summary.json",
        holds=lambda path: (path / "summary.json").is_file(),
        read=read_decomposition,
        page=decomposition_page,
    ),
    Source(
        name="compress",
        what=f"files NAME{RECORD}",
        holds=lambda path: path.is_file() and path.name.endswith(RECORD),
        read=read_compression_record,
        page=compression_page,
    ),
    Source(
        name="study",
        what="folders with study.json",
        holds=lambda path: (path / "study.json").is_file(),
        read=read_study,
        page=study_page,
    ),
    Source(
        name="bench-layer",
        what="files of --json",
        holds=holds_bench,
        read=read_bench,
        page=bench_page,
    ),
    Source(
        name="diagnostics",
        what="files diagnostics.jsonl",
        holds=holds_states,
        read=read_monitor,
        page=monitor_page,
    ),
)


def source_of(path: Path) -> Source:
    """What wrote a folder or file.

    Raises:
        CheckpointError: there is none, or nothing in it that is known.
    """
    if not path.exists():
        raise CheckpointError(f"{path}: there is no such folder or file; pass what a run left.")
    for source in SOURCES.values():
        if source.holds(path):
            return source
    known = ", ".join(f"{source.what} of rankfold {source.name}" for source in SOURCES.values())
    raise CheckpointError(f"{path}: there is no run here, known are {known}; pass one of these.")
