"""Write docs/combinations.md: which parts combine, each cell from training a small network with the combination."""

import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rankfold.init import INITIALIZERS
from rankfold.regularize import REGULARIZERS, Regularizer
from rankfold.report import markdown_table
from rankfold.testing import FORMS, OPTIMIZERS, combine
from rankfold.training import INTEGRATORS

__all__ = ["PAGE", "combinations_page"]

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "combinations.md"

_INTRODUCTION = """\
# What combines with what

How weights are stored, how they are regularised, how they are trained and how they begin are four choices. Every
combination of them was tried for this page (`python -m tools.combinations_page`): a small network is built,
initialised, regularised and trained for a few steps, and a cell says yes only where that lowered the loss, with all
initialisers alike. A number stands for the reason why a combination is refused. The same trials are tests: see
`rankfold.testing.RegularizerContract`.

The columns `sgd` and `adam` are optimisers of torch, the others integrators of `rankfold.TDLRT`. An integrator moves
Tucker layers, and all but `fixed` change their ranks; the inner optimiser trains weights in other formats, and dense
ones, as they are."""


def combinations_page() -> str:
    """The whole page; tries every combination."""
    reasons: list[str] = []
    tables = [_section(form, reasons) for form in FORMS]
    notes = [
        textwrap.fill(f"{n}. {reason}.", 120, subsequent_indent="   ") for n, reason in enumerate(reasons, 1)
    ]
    parts = [
        _INTRODUCTION,
        *tables,
        "## Why not\n\n" + "\n".join(notes),
        "## Regularisers\n\n" + _described(REGULARIZERS),
        "## Initialisers\n\n" + _described(INITIALIZERS),
        "## Integrators\n\n" + _described(INTEGRATORS),
    ]
    return "\n\n".join(parts) + "\n"


def _section(form: str, reasons: list[str]) -> str:
    rows = [
        {
            "regulariser": f"`{name}`",
            **{f"`{optimizer}`": _cell(form, record, optimizer, reasons) for optimizer in OPTIMIZERS},
        }
        for name, record in REGULARIZERS.items()
    ]
    title = {"cp": "CP", "tt": "TT", "tt_matrix": "TT-matrix"}.get(form, form.capitalize())
    return f"## {title}: {FORMS[form].summary}\n\n{markdown_table(rows)}"


def _cell(form: str, record: Regularizer, optimizer: str, reasons: list[str]) -> str:
    """Yes, or the number of the reason.

    Raises:
        AssertionError: what came of it is not what the record says.
    """
    initializers = list(INITIALIZERS) if FORMS[form].has_ranks else [None]
    outcomes = [combine(form, record, optimizer, initializer) for initializer in initializers]
    reason = record.reason_against(form, optimizer)
    if reason is None:
        refused = [outcome.refused for outcome in outcomes if outcome.refused is not None]
        assert not refused, f"{form}, {record.name}, {optimizer}: {refused[0]}"
        assert all(outcome.losses[-1] < outcome.losses[0] for outcome in outcomes), (
            form,
            record.name,
            optimizer,
        )
        return "yes"
    assert all(outcome.refused for outcome in outcomes), f"{form}, {record.name}, {optimizer} trains"
    sentence = reason[0].upper() + reason[1:]
    if sentence not in reasons:
        reasons.append(sentence)
    return str(reasons.index(sentence) + 1)


def _described(registry: Mapping[str, Any]) -> str:
    rows = [
        {"name": f"`{record.name}`", "what it does": record.summary, "source": record.source}
        for record in registry.values()
    ]
    return markdown_table(rows)


def main() -> None:
    """Write the page."""
    PAGE.write_text(combinations_page(), encoding="utf-8")
    print(f"wrote {PAGE.relative_to(ROOT)}")


if __name__ == "__main__":
    main()
