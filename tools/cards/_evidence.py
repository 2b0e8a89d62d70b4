"""Figures from committed results, and where each of them comes from."""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from statistics import mean
from typing import Any

__all__ = ["Evidence", "Row"]

ROOT = Path(__file__).parent.parent.parent
RESULTS = ROOT / "benchmarks" / "results"
STUDIES = ROOT / "docs" / "studies"

Row = Mapping[str, Any]


@cache
def _content(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


class Evidence:
    """Gives figures and remembers which results they are from."""

    def __init__(self) -> None:
        self._sources: list[Path] = []

    @property
    def sources(self) -> list[str]:
        """The results that were read, in Markdown: file or page, and the command that makes it."""
        return [self._source(path) for path in dict.fromkeys(self._sources)]

    @staticmethod
    def _source(path: Path) -> str:
        command = f"`{_content(path)['command']}`"
        if path.parent == RESULTS:
            return f"`{path.relative_to(ROOT).as_posix()}`, made by {command}"
        name = path.parent.name
        return f"the study [{name}](../studies/{name}/card.md), made by {command}"

    def rows(self, result: str, **where: Any) -> list[Row]:
        """The rows of a benchmark that have these values; at least one.

        Arguments:
            result: name of the file under ``benchmarks/results``.
            **where: what the rows have under these names.
        """
        return self._chosen(RESULTS / f"{result}.json", "rows", where)

    def row(self, result: str, **where: Any) -> Row:
        """The one row of a benchmark that has these values."""
        (row,) = self.rows(result, **where)
        return row

    def goal(self, result: str, name: str) -> float:
        """What a benchmark measured of one of its goals."""
        return float(self._read(RESULTS / f"{result}.json")["definitions"][name]["measured"])

    def records(self, study: str, **where: Any) -> list[Row]:
        """The records of a study that have these values; at least one."""
        return self._chosen(STUDIES / study / "study.json", "records", where)

    def average(self, study: str, what: str, **where: Any) -> float:
        """The mean of a value over records of a study."""
        return mean(record[what] for record in self.records(study, **where))

    def check(self, study: str, name: str) -> float:
        """What a check of a study measured."""
        (check,) = self._chosen(STUDIES / study / "study.json", "checks", {"name": name})
        return float(check["value"])

    def claim(self, holds: bool, words: str) -> None:
        """Stop where the figures no longer say what a sentence says.

        Raises:
            AssertionError: they do not.
        """
        assert holds, f"the committed results no longer show this: {words}"

    def _read(self, path: Path) -> dict[str, Any]:
        self._sources.append(path)
        return _content(path)

    def _chosen(self, path: Path, table: str, where: Mapping[str, Any]) -> list[Row]:
        rows = [row for row in self._read(path)[table] if where.items() <= row.items()]
        assert rows, f"{path.name}: nothing with {dict(where)}"
        return rows
