"""The files of a run of a study; every one is complete under its name or not there at all."""

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rankfold._checkpoint import atomic_path
from rankfold._errors import CheckpointError
from rankfold._json_files import read_json
from rankfold._registry import Registry
from rankfold.report import markdown_table
from rankfold.studies._card import card, summary_of
from rankfold.studies._checks import judge, verdict
from rankfold.studies._figure import draw_study
from rankfold.studies._run import Missing, StudyRun
from rankfold.studies._study import Study, Table

__all__ = ["StudyFolder", "write_index"]

_FORMAT = "rankfold-study-1"


@dataclass(frozen=True)
class StudyFolder:
    """A folder with study.json, card.md, figure.png and figure.svg.

    Arguments:
        path: the folder.
    """

    path: Path

    @property
    def json(self) -> Path:
        """Everything: settings, records, what is missing, checks, verdict, tables."""
        return self.path / "study.json"

    @property
    def card(self) -> Path:
        """The page to read."""
        return self.path / "card.md"

    def read(self, study: Study) -> StudyRun | None:
        """The run that is there; None where there is none.

        Raises:
            CheckpointError: the file is damaged, of another study, or of another version of it.
        """
        if not self.json.is_file():
            return None
        try:
            stored = read_json(self.json)
            json.dumps(stored, allow_nan=False)  # NaN and infinity are read, and could not be written again
            if stored["format"] != _FORMAT:
                raise ValueError(f"format {stored['format']!r}")
            run = StudyRun(
                study=stored["study"],
                size=stored["size"],
                parameters=dict(stored["parameters"]),
                rows=tuple(dict(row) for row in stored["records"]),
                missing=tuple(Missing(dict(one["case"]), str(one["reason"])) for one in stored["missing"]),
                seconds=float(stored["seconds"]),
                command=str(stored["command"]),
                facts=dict(stored["facts"]),
            )
            if not all(isinstance(row, dict) for row in stored["records"]):
                raise ValueError("a record is no object")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise CheckpointError(
                f"{self.json}: not readable as the run of a study ({error}); restore the file, or run the study anew "
                "with --overwrite."
            ) from None
        if run.study != study.name:
            raise CheckpointError(
                f"{self.json}: holds the study {run.study}, not {study.name}; name another folder with --out."
            )
        reason = _foreign(study, run)
        if reason is not None:
            raise CheckpointError(
                f"{self.json}: is no run of this version of the study {study.name} ({reason}); name another folder "
                "with --out, or run the study anew with --overwrite."
            )
        return run

    def write_records(self, study: Study, run: StudyRun) -> None:
        """Write study.json.

        Raises:
            CheckpointError: the folder cannot be made or written.
        """
        records = run.records(study)
        findings = judge(study.checks, records)
        content: dict[str, Any] = {
            "format": _FORMAT,
            "study": study.name,
            "title": study.title,
            "claim": study.claim,
            "paper": study.paper,
            "verdict": verdict(findings),
            "command": run.command,
            "size": run.size,
            "parameters": run.parameters,
            "facts": run.facts,
            "seconds": round(run.seconds, 1),
            "cases": len(records.cases),
            "remarks": list(study.remarks),
            "checks": [
                {
                    "name": finding.name,
                    "statement": finding.statement,
                    "least": finding.least,
                    "most": finding.most,
                    "value": finding.value,
                    "holds": finding.holds,
                    "reason": finding.reason,
                    "part": finding.part,
                }
                for finding in findings
            ],
            "tables": [_plain(table) for table in study.tables(records) if table.rows],
            "missing": [{"case": dict(one.case), "reason": one.reason} for one in run.missing],
            "records": list(run.rows),
        }
        self._make()
        _write(self.json, _json_by_lines(content))

    def write_pages(self, study: Study, run: StudyRun) -> str | None:
        """Write card.md and the figures.

        Returns:
            A sentence if there is no figure, otherwise None.

        Raises:
            CheckpointError: the folder cannot be made or written.
        """
        self._make()
        without = draw_study(study, run.records(study), self.path)
        _write(self.card, card(study, run, figure=without is None))
        return without

    def _make(self) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CheckpointError(
                f"{self.path}: the folder cannot be made ({error.strerror}); name another with --out."
            ) from None


def write_index(studies: Registry[Study], place: Path) -> None:
    """Write ``README.md``, a line for every study that has a folder in ``place``.

    Arguments:
        studies: the studies that are known.
        place: holds one folder per study.

    Raises:
        CheckpointError: the file cannot be written.
    """
    rows = []
    for study in studies.values():
        link = f"[{study.name}]({study.name}/card.md)"
        try:
            run = StudyFolder(place / study.name).read(study)
        except CheckpointError:  # of one study, which must not keep the others from their lines
            rows.append({"study": link, "claim": study.claim, "verdict": "not readable"})
            continue
        if run is not None:
            # The claim stands beside the name, and the name is a link.
            row = {"study": None, "claim": study.claim} | summary_of(study, run)
            rows.append(row | {"study": link})
    text = (
        "# Claims of the literature, run and judged\n\n"
        "Each line is a run of `rankfold study NAME`; its page says what was run, what was measured and which checks "
        "did not hold.\n\n"
        "The verdict counts checks and is computed from the run: *holds* if every check of this size does, *does not "
        "hold* if none does, *holds in part* between the two, however few hold, and *not decided* if none failed but "
        "one could not be measured. Some checks are controls or bounds of our own, which can be sharper than the "
        "claim: before you quote a verdict, read the checks that did not hold and the remarks below them. Names of "
        "checks, such as B2, are labels.\n\n"
        "`--seed 1 --out FOLDER` runs a study with other random numbers, `--full` its full size; `rankfold report` on "
        "the folders of studies makes one page of them, with runs of one study side by side.\n\n"
        + markdown_table(rows)
        + "\n"
    )
    _write(place / "README.md", text)


def _foreign(study: Study, run: StudyRun) -> str | None:
    """Why the records cannot be those of the study as it is now, or None."""
    try:
        records = run.records(study)
        strangers = len(run.rows) + len(records.missing) - len(records.cases)
        judge(study.checks, records)
        list(study.tables(records))
    # What a check or a table meets in records that lack a value, or have one of another kind.
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return f"{strangers} records belong to none of its cases, or are there twice" if strangers else None


def _plain(table: Table) -> dict[str, Any]:
    """A table for JSON, which has no NaN and no infinity: a cell without a finite number is empty."""
    rows = [
        {
            name: None if isinstance(value, float) and not math.isfinite(value) else value
            for name, value in row.items()
        }
        for row in table.rows
    ]
    return {"title": table.title, "drawn": table.drawn, "rows": rows}


def _json_by_lines(content: dict[str, Any]) -> str:
    """JSON with one line per record, check, table and missing case."""
    parts = []
    for name, value in content.items():
        if name in ("checks", "tables", "missing", "records") and value:
            lines = ",\n  ".join(json.dumps(one, allow_nan=False) for one in value)
            parts.append(f' "{name}": [\n  {lines}\n ]')
        else:
            parts.append(f' "{name}": {json.dumps(value, allow_nan=False)}')
    return "{\n" + ",\n".join(parts) + "\n}\n"


def _write(file: Path, text: str) -> None:
    with atomic_path(file) as temporary:
        temporary.write_text(text, encoding="utf-8")
