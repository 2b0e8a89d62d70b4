"""Run the cases of a study, one after the other, and keep what each gave."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from rankfold._errors import DataError, NonFiniteError, OptionError
from rankfold.studies._records import Case, Record, Records, Unavailable
from rankfold.studies._study import Setting, Study

__all__ = ["Missing", "StudyRun", "run_study"]


@dataclass(frozen=True, slots=True)
class Missing:
    """A case that could not be run.

    Arguments:
        case: which.
        reason: one sentence.
    """

    case: Case
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StudyRun:
    """A run of a study, complete or not.

    Arguments:
        study: name of the study.
        size: ``quick``, ``full`` or another word for parameters of one's own.
        parameters: what it was run with.
        rows: one record per case that was run.
        missing: cases that could not be run here.
        seconds: all cases took together.
        command: that made the run.
        facts: versions and the machine, by name.
    """

    study: str
    size: str
    parameters: dict[str, Any]
    rows: tuple[Record, ...] = ()
    missing: tuple[Missing, ...] = ()
    seconds: float = 0.0
    command: str = ""
    facts: dict[str, Any] = field(default_factory=dict)

    def records(self, study: Study) -> Records:
        """The records beside the cases of the study."""
        return Records(study.cases(self.parameters), self.rows)


def run_study(
    study: Study,
    run: StudyRun,
    setting: Setting,
    *,
    after_case: Callable[[StudyRun, int, int], None] = lambda run, done, total: None,
) -> StudyRun:
    """Run the cases that have no record yet; a case that needs what is not here is noted and passed over.

    Arguments:
        study: the study.
        run: what there is so far; ``StudyRun(study=..., size=..., parameters=...)`` to begin with.
        setting: where the cases run.
        after_case: called with the run, the number of cases done and their total, before the first and after every
            case; whatever it raises ends the run.

    Returns:
        The run with all records that could be had.

    Raises:
        OptionError: parameters of other names than those of the study.
        NonFiniteError: a record holds NaN or infinity.

    Example:
        >>> from rankfold.studies import STUDIES
        >>> study = STUDIES["bad-minimum"]
        >>> parameters = {**study.quick, "widths": [2, 5], "noises": [], "runs": 1}
        >>> run = run_study(study, StudyRun(study=study.name, size="small", parameters=parameters), Setting())
        >>> [round(row["coefficient"], 2) for row in run.rows if row["part"] == "coefficient"]
        [8.0, -0.16]
    """
    if run.parameters.keys() != study.quick.keys():
        raise OptionError(
            f"study {study.name}: got parameters {', '.join(run.parameters) or 'none'}, allowed are exactly "
            f"{', '.join(study.quick)}; begin with those of study.quick and change some."
        )
    run = replace(run, missing=())
    records = run.records(study)
    total, todo = len(records.cases), records.missing
    after_case(run, total - len(todo), total)
    for number, case in enumerate(todo, total - len(todo) + 1):
        started = time.perf_counter()
        try:
            row = {**case, **study.run(case, setting)}
        except (DataError, Unavailable) as error:
            run = replace(run, missing=(*run.missing, Missing(case, str(error))))
        else:
            run = replace(run, rows=(*run.rows, _plain(row, study.name, case)))
        run = replace(run, seconds=run.seconds + time.perf_counter() - started)
        after_case(run, number, total)
    return run


def _plain(row: Record, name: str, case: Case) -> Record:
    """The record as it will be read back from a file."""
    try:
        return json.loads(json.dumps(row, allow_nan=False))
    except ValueError:
        raise NonFiniteError(
            f"study {name}: the case {dict(case)} gave NaN or infinity, allowed are finite numbers; report this case "
            "with its settings."
        ) from None
