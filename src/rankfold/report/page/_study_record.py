"""What a page says about the run of a study, as plain data."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rankfold.report.page._blocks import Cell

__all__ = ["StudyCheck", "StudyRecord", "StudyTable"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyCheck:
    """One check and what became of it.

    Arguments:
        name: short; unique in the study.
        statement: what has to hold.
        allowed: the bounds in words.
        value: what was measured, None if nothing finite was.
        holds: None if that is not decided.
        reason: why it is not decided or there is no value; empty otherwise.
        part: whether this size of the study has its cases; if not, it does not count.
    """

    name: str
    statement: str
    allowed: str
    value: float | None
    holds: bool | None
    reason: str = ""
    part: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyTable:
    """Numbers of a study.

    Arguments:
        title: stands above.
        columns: names.
        rows: cells, as many per row as there are columns.
        drawn: whether the first column is a number, different in every row, and the others are one quantity over it.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    drawn: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRecord:
    """One run of a study.

    Arguments:
        name: what the run is called on the page.
        study, title, claim, paper: of the study.
        verdict: in words.
        held: how many checks hold, in words.
        size: of the parameters, such as ``quick``.
        parameters: by name; ``seed`` is one of them.
        cases, done: how many there are, and how many have a record.
        missing: cases that could not be run, in words, with the reason.
        seconds: all cases together.
        facts: versions and the machine, by name.
        checks: of the study, in its order.
        remarks: sentences.
        tables: those with rows.
        figure: as SVG, None where there is none.
        command: the words that make it again.
    """

    name: str
    study: str
    title: str
    claim: str
    paper: str
    verdict: str
    held: str
    size: str
    parameters: Mapping[str, Any]
    cases: int
    done: int
    missing: tuple[tuple[str, str], ...]
    seconds: float
    facts: Mapping[str, str]
    checks: tuple[StudyCheck, ...]
    remarks: tuple[str, ...]
    tables: tuple[StudyTable, ...]
    figure: str | None
    command: str

    @property
    def left(self) -> int:
        """Cases that were not tried, because the run was stopped."""
        return max(0, self.cases - self.done - len(self.missing))

    @property
    def failed(self) -> tuple[StudyCheck, ...]:
        """Checks that do not hold."""
        return tuple(check for check in self.checks if check.holds is False)
