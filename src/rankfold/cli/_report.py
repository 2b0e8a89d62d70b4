"""``rankfold report``, and the page that other commands leave."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from rankfold._errors import OptionError, RankfoldError
from rankfold.cli._console import make_console
from rankfold.cli._report_config import PAGE, ReportConfig, page_of
from rankfold.cli._report_sources import source_of
from rankfold.report.page import Page, write_page

__all__ = ["leave_page", "report"]


def report(config: ReportConfig) -> None:
    """Read runs, write their page, and say where it is.

    Arguments:
        config: checked settings.

    Raises:
        CheckpointError: a path holds no run or a damaged one, or the page cannot be written.
        OptionError: runs of different kinds, or jinja2 is not installed.
    """
    page = _page(config.runs)
    out = config.out
    if out is None:
        out = page_of(config.runs[0]) if len(config.runs) == 1 else Path(PAGE)
    missing = write_page(page, out)
    if missing is not None:
        raise OptionError(f"report: {missing}")
    make_console().print(f"page: {out}", soft_wrap=True)


def leave_page(run: Path, place: Path) -> str | None:
    """Write the page of a run into its folder, or beside its file.

    A page that cannot be made is no reason for a finished run to fail.

    Arguments:
        run: the folder or file that holds it.
        place: what that will be called, for it may still have a temporary name.

    Returns:
        None, or a sentence why there is no page.
    """
    try:
        source = source_of(run)
        record = source.read(run, place.resolve().name)
        return write_page(source.page([record], [shlex.quote(str(place))]), page_of(run))
    except RankfoldError as error:
        return f"no page: {error}"


def _page(runs: Sequence[Path]) -> Page:
    sources = [source_of(run) for run in runs]
    for run, source in zip(runs, sources, strict=True):
        if source is not sources[0]:
            raise OptionError(
                f"report: {runs[0]} is of rankfold {sources[0].name}, {run} of rankfold {source.name}; name runs of "
                "one kind."
            )
    records = [sources[0].read(run, name) for run, name in zip(runs, _names(runs), strict=True)]
    return sources[0].page(records, [shlex.quote(str(run)) for run in runs])


def _names(runs: Sequence[Path]) -> list[str]:
    """The last part of each path, or all of it where two would be the same."""
    short = [run.resolve().name for run in runs]
    return short if len(set(short)) == len(short) else [str(run) for run in runs]
