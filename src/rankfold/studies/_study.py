"""What a study is: a published claim, the cases that try it, and the checks that judge it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from rankfold.studies._checks import Check
from rankfold.studies._records import Case, Record, Records

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["Parameters", "Setting", "Study", "Table"]

Parameters = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Setting:
    """Where a case runs; none of it is part of the case.

    Arguments:
        data_dir: folder to search for data sets first; None searches the usual places.
        device: where networks are trained. What needs float64 stays on the CPU.
        progress: called with a short text while a long case runs.
    """

    data_dir: Path | None = None
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    progress: Callable[[str], None] = lambda text: None


@dataclass(frozen=True, slots=True)
class Table:
    """Rows to be shown.

    Arguments:
        title: one line.
        rows: plain values by column; a column that a row lacks is shown as a dash.
        drawn: whether the first column is a number that differs in every row, and the others are one quantity over it,
            so that a page draws them as lines.
    """

    title: str
    rows: Sequence[Mapping[str, Any]]
    drawn: bool = False


@dataclass(frozen=True, kw_only=True)
class Study:
    """A published claim, run and judged.

    A study computes nothing that belongs in the library. Its cases are independent of each other and carry all they
    need, seeds included, so a run can stop after any case and be taken up again.

    Arguments:
        name: the name it is asked for by, words joined by hyphens.
        title: a heading.
        claim: what the paper says, in one sentence.
        paper: authors, year, title.
        quick: parameters for a laptop in a minute or two, plain JSON values; ``seed`` is the first seed.
        full: parameters of the same names for a run that takes its time.
        cases: from parameters to cases, each with plain JSON values by name, no two equal.
        run: one case; returns what was measured, plain JSON values by names that the case does not have.
        checks: what is judged, with tolerances.
        tables: from records, perhaps partial, to the tables of the card.
        plot: draws the records, perhaps partial, into an empty figure.
        remarks: sentences for the card: what was chosen by us, what the claim leaves open, where it is known to fail.
    """

    name: str
    title: str
    claim: str
    paper: str
    quick: Parameters
    full: Parameters
    cases: Callable[[Parameters], list[Case]]
    run: Callable[[Case, Setting], Record]
    checks: tuple[Check, ...]
    tables: Callable[[Records], list[Table]]
    plot: Callable[[Records, "Figure"], None]
    remarks: tuple[str, ...] = ()
