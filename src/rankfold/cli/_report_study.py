"""The folder of a study as the record that its page is made from."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rankfold._checkpoint._words import brief
from rankfold._display import finite
from rankfold._errors import CheckpointError
from rankfold._json_files import read_json, read_text
from rankfold.report.page import StudyCheck, StudyRecord, StudyTable
from rankfold.studies import Finding, verdict
from rankfold.studies._card import allowed, held

__all__ = ["read_study"]

_TEXTS = ("study", "title", "claim", "paper", "verdict", "command", "size")


def read_study(path: Path, name: str) -> StudyRecord:
    """Read the run of a study, complete or not; the study itself need not be known here.

    Arguments:
        path: its folder.
        name: what it is called on the page.

    Raises:
        CheckpointError: study.json or the figure is damaged, or of another version.
    """
    file = path / "study.json"
    try:
        stored = read_json(file)
        return _record(stored, name, _figure(path / "figure.svg"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise CheckpointError(
            f"{file}: not readable as the run of a study ({type(error).__name__}: {brief(error)}); restore it, or run "
            "the study again, which keeps the cases that are there."
        ) from None


def _record(stored: dict[str, Any], name: str, figure: str | None) -> StudyRecord:
    if stored["format"] != "rankfold-study-1":
        raise ValueError(f"format {stored['format']!r}")
    texts = {key: _text(stored[key]) for key in _TEXTS}
    findings = [_finding(check) for check in stored["checks"]]
    if texts["verdict"] != verdict(findings):
        raise ValueError(f"the verdict {texts['verdict']!r} is not that of the checks")
    records, missing = _list(stored["records"]), _list(stored["missing"])
    cases, seconds = stored["cases"], finite(stored["seconds"])
    if type(cases) is not int or not len(records) + len(missing) <= cases < 2**53:
        raise ValueError(f"the number of cases is {cases!r}")
    if seconds is None or seconds < 0:
        raise ValueError(f"the seconds are {stored['seconds']!r}")
    return StudyRecord(
        name=name,
        **texts,
        held=held(findings),
        parameters=_object(stored["parameters"]),
        cases=cases,
        done=len(records),
        missing=tuple((_case(one["case"]), _text(one["reason"])) for one in missing),
        seconds=seconds,
        facts={key: str(value) for key, value in _object(stored["facts"]).items()},
        checks=tuple(_check(finding) for finding in findings),
        remarks=tuple(_text(remark) for remark in _list(stored["remarks"])),
        tables=tuple(_table(table) for table in _list(stored["tables"])),
        figure=figure,
    )


def _figure(file: Path) -> str | None:
    if not file.exists():
        return None
    text = read_text(file)
    if not text.lstrip().startswith(("<?xml", "<svg")):
        raise ValueError(f"{file.name} is no SVG")
    return text


def _finding(check: Any) -> Finding:
    least, most, value = (_number(check[key]) for key in ("least", "most", "value"))
    if not isinstance(check["part"], bool) or not isinstance(check["holds"], bool | None):
        raise TypeError("a check does not say whether it holds")
    if least is None and most is None:
        raise ValueError("a check has no bounds")
    return Finding(
        name=_text(check["name"]),
        statement=_text(check["statement"]),
        least=least,
        most=most,
        value=value,
        holds=check["holds"],
        reason=None if check["reason"] is None else _text(check["reason"]),
        part=check["part"],
    )


def _check(finding: Finding) -> StudyCheck:
    return StudyCheck(
        name=finding.name,
        statement=finding.statement,
        allowed=allowed(finding),
        value=finding.value,
        holds=finding.holds,
        reason=finding.reason or "",
        part=finding.part,
    )


def _table(table: Any) -> StudyTable:
    """Rows of plain values; a column that a row lacks is empty in it."""
    rows = [_object(row) for row in _list(table["rows"])]
    names = list(dict.fromkeys(name for row in rows for name in row))
    drawn = table["drawn"]
    if not isinstance(drawn, bool) or not names:
        raise ValueError("a table has no columns, or does not say whether it is drawn")
    places = [finite(row.get(names[0])) for row in rows]
    if drawn and (None in places or len({*places}) < len(places)):
        raise ValueError(
            f"the first column of {brief(table['title'], 60)} is not a number that differs in every row"
        )
    return StudyTable(
        title=_text(table["title"]),
        columns=tuple(name.replace("_", " ") for name in names),
        rows=tuple(tuple(_cell(row.get(name)) for name in names) for row in rows),
        drawn=drawn,
    )


def _cell(value: Any) -> str | int | float | None:
    plain = value is None or (isinstance(value, str | int | float) and not isinstance(value, bool))
    return value if plain else str(value)


def _case(case: Any) -> str:
    return ", ".join(f"{name} {value}" for name, value in _object(case).items())


def _number(value: Any) -> float | None:
    number = finite(value)
    if value is not None and number is None:
        raise TypeError(f"a number is {brief(value, 60)}")
    return number


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a text is {brief(value, 60)}")
    return value


def _list(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"a list is {brief(value, 60)}")
    return value


def _object(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"an object is {brief(value, 60)}")
    return value
