"""Floor 6: claims of the literature, run and judged."""

from rankfold.studies._card import card, summary_of
from rankfold.studies._checks import Check, Finding, judge, verdict
from rankfold.studies._folder import StudyFolder, write_index
from rankfold.studies._records import Case, NotPart, NotRun, Record, Records, Unavailable
from rankfold.studies._run import Missing, StudyRun, run_study
from rankfold.studies._studies import STUDIES
from rankfold.studies._study import Parameters, Setting, Study, Table

__all__ = [
    "STUDIES",
    "Case",
    "Check",
    "Finding",
    "Missing",
    "NotPart",
    "NotRun",
    "Parameters",
    "Record",
    "Records",
    "Setting",
    "Study",
    "StudyFolder",
    "StudyRun",
    "Table",
    "Unavailable",
    "card",
    "judge",
    "run_study",
    "summary_of",
    "verdict",
    "write_index",
]
