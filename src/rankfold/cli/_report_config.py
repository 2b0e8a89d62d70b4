"""The settings of ``rankfold report``."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from rankfold._errors import OptionError

__all__ = ["PAGE", "ReportConfig", "checked_report", "page_of"]

#: Name of the page in the folder of a run.
PAGE = "report.html"


@dataclass(frozen=True, kw_only=True)
class ReportConfig:
    """Make one page of a run, or of several side by side; it needs no network and opens from disk.

    Arguments:
        runs: folders or files that other commands wrote; a dense run among others stands beside them.
        out: the page; None means report.html in the folder of a single run, beside a single file, else in the current
            folder.
    """

    runs: Annotated[tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="RUN [RUN ...]")]
    out: Annotated[Path | None, tyro.conf.arg(metavar="FILE")] = None


def page_of(run: Path) -> Path:
    """Where the page of a run goes: into its folder, or beside its file under the file's name."""
    return run / PAGE if run.is_dir() else run.with_suffix(".html")


def checked_report(config: ReportConfig) -> ReportConfig:
    """The settings, found to be of use.

    Raises:
        OptionError: no run, or one twice.
    """
    if not config.runs:
        raise OptionError("report: got no run; name at least one folder or file.")
    twice = next((run for run in config.runs if config.runs.count(run) > 1), None)
    if twice is not None:
        raise OptionError(f"report: {twice} is named twice; name each run once.")
    return config
