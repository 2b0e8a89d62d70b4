"""What decompositions show of themselves: how well they fit, how sure they are, and the ranks that were tried."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from rankfold._display import Block, Cell, Curve, Drawn, Facts, Grid, Note, View, duration, shown_number

if TYPE_CHECKING:
    from rankfold.decompose._result import CPDecomposition, Decomposition, RankStep, TracePoint

__all__ = ["components_view", "decomposition_view"]


def decomposition_view(result: "Decomposition") -> View:
    """The error and the way to it, then the tensor as its format shows it."""
    return _with_tensor(result, ())


def components_view(result: "CPDecomposition") -> View:
    """As :func:`decomposition_view`, with the rank, how it was come by, and how sure the components are."""
    path = result.rank_path
    tried = sorted(step.rank for step in path)
    found = f"found among {tried[0]} to {tried[-1]}" if path else "given"
    facts: list[tuple[str, Cell]] = [
        ("rank", f"{result.rank}, {found}"),
        ("how sure", result.agreement.sentence),
    ]
    if result.core_consistency is not None:
        facts.append(("core consistency", f"{result.core_consistency:.1f} %"))
    view = _with_tensor(result, facts)
    warning = result.degeneracy.warning
    notes = () if warning is None else (Note(warning, warning=True),)
    first, *rest = view.blocks
    return View(view.title, (first, *notes, *rest, *_rank_path(path, result.rank)))


def _with_tensor(result: "Decomposition", known: Sequence[tuple[str, Cell]]) -> View:
    """Facts of the result and of its tensor in one table, then all else that the tensor shows."""
    shown = result.tensor._view()
    first, *rest = shown.blocks
    facts = {
        "relative error": shown_number(result.relative_error),
        **dict(known),
        "method": result.method,
        **_trace(result.trace),
    }
    about = [(name, cell) for name, cell in first.rows if name not in facts]
    rows = (("format", shown.title), *facts.items(), *about)
    return View(type(result).__name__, (Facts(rows), *rest))


def _trace(points: "Sequence[TracePoint]") -> dict[str, Cell]:
    if len(points) < 2:
        return {}
    errors = [point.relative_error for point in points]
    text = (
        f"{len(points):,} points in {duration(points[-1].seconds)}, error {shown_number(errors[0])} to "
        f"{shown_number(errors[-1])}"
    )
    return {"trace": Drawn(text, Curve(errors, "relative error over time", [p.seconds for p in points]))}


def _rank_path(steps: "Sequence[RankStep]", chosen: int) -> Iterator[Block]:
    if not steps:
        return
    rows = tuple(
        (
            str(step.rank),
            shown_number(step.relative_error),
            f"{step.evidence:.3g}",
            f"{step.bic:,.1f}",
            "chosen" if step.rank == chosen else "",
        )
        for step in steps
    )
    places = [place for place, step in enumerate(steps) if step.rank == chosen]
    columns = ("rank", "relative error", "evidence", "BIC", "")
    marked = places[0] if places else None
    yield Grid(columns, rows, numbers=(0, 1, 2, 3), marked=marked, what="ranks tried")
    yield Note("Evidence above 1: the last component is more than noise. BIC is there to compare.")
