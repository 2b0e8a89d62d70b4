"""The checks of studies: which hold, which do not, and why."""

from collections.abc import Iterator, Sequence

from rankfold._display import shown_number
from rankfold.report.page._blocks import Cell, Table
from rankfold.report.page._study_record import StudyCheck, StudyRecord

__all__ = ["checks_beside", "checks_table", "failures"]

_NOTE = "Checks that do not hold come first, then those that are not decided; the heads of the columns sort otherwise."


def checks_table(record: StudyRecord) -> Table:
    """One line per check, those that do not hold first."""
    return Table(
        caption="Checks",
        columns=("check", "holds", "measured", "allowed", "what has to hold"),
        rows=tuple(
            (check.name, _outcome(check), check.value, check.allowed, check.statement)
            for check in sorted(record.checks, key=_place)
        ),
        note=_NOTE,
    )


def checks_beside(records: Sequence[StudyRecord]) -> Table:
    """One line per check of runs of one study, with what each run measured."""
    found: dict[str, StudyCheck] = {}
    for check in (check for record in records for check in record.checks):
        found.setdefault(check.name, check)
    own = [{check.name: check for check in record.checks} for record in records]

    def worst(name: str) -> int:
        return min(_place(checks[name]) for checks in own if name in checks)

    rows: list[tuple[Cell, ...]] = []
    for name in sorted(found, key=worst):
        cells: list[Cell] = [name]
        for checks in own:
            check = checks.get(name)
            cells += ["not there", None] if check is None else [_outcome(check), check.value]
        rows.append((*cells, found[name].allowed, found[name].statement))
    columns = [f"{record.name}: {what}" for record in records for what in ("holds", "measured")]
    return Table(
        caption="Checks side by side",
        columns=("check", *columns, "allowed", "what has to hold"),
        rows=tuple(rows),
        note=_NOTE,
    )


def failures(record: StudyRecord) -> Iterator[str]:
    """What did not hold, and what could not be decided, one sentence each."""
    for check in record.failed:
        measured = f"measured {shown_number(check.value)}" if check.value is not None else check.reason
        yield f"{check.name}: {check.statement}; {measured}, allowed {check.allowed}."
    for check in record.checks:
        if check.holds is None and check.part:
            yield f"{check.name}: {check.statement}; not decided: {check.reason}."


def _place(check: StudyCheck) -> int:
    return 3 if not check.part else 2 if check.holds else 0 if check.holds is False else 1


def _outcome(check: StudyCheck) -> str:
    if not check.part:
        return "not part of this size"
    return "not decided" if check.holds is None else "yes" if check.holds else "no"
