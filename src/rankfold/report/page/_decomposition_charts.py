"""What a decomposition looks like: the error on the way, its parts mode by mode, ranks tried, spectra."""

from collections.abc import Iterator, Sequence
from typing import Any

from rankfold.report.page._blocks import BarChart, Block, Line, LineChart, Mark, Quantity, Table, Text
from rankfold.report.page._decomposition_record import DecompositionRecord, ModeFactor
from rankfold.report.page._rank_charts import LONG_SPECTRUM, spectrum_places

__all__ = ["part_blocks", "rank_path_blocks", "trace_chart"]

_DRAWN = 7  # components in one chart, as many as there are colours; the next ones get charts of their own
_CHARTS = 4  # of components per mode; the tables beside the page have all of them


def trace_chart(trace: Sequence[dict[str, Any]], name: str) -> LineChart:
    """The error of what the solver had at each moment, one line per rank where these are few."""
    points = sorted(trace, key=lambda point: point["seconds"] or 0.0)
    ranks = sorted({point["rank"] for point in points})
    shown = len(ranks) <= _DRAWN
    searched = f"; ranks {ranks[0]} to {ranks[-1]} were tried, some from several starts" if not shown else ""
    lines = (
        tuple(
            Line(
                f"rank {rank}",
                tuple(point["relative_error"] if point["rank"] == rank else None for point in points),
            )
            for rank in ranks
        )
        if shown
        else (Line("relative error", tuple(point["relative_error"] for point in points)),)
    )
    return LineChart(
        title=f"Error on the way, {name}" if name else "Error on the way",
        description="Relative error of what the solver had at each moment"
        + (", one line per number of components." if shown and len(ranks) > 1 else f"{searched}."),
        x_label="seconds since the start",
        y_label="relative error",
        x=tuple(float(point["seconds"] or 0.0) for point in points),
        lines=lines,
        y_log=True,
    )


def part_blocks(record: DecompositionRecord) -> Iterator[Block]:
    """Weights of the components, and their columns mode by mode."""
    summary = record.summary
    if "shares" in summary:
        names = tuple(f"component {number}" for number in range(1, len(summary["shares"]) + 1))
        yield BarChart(
            title="Components",
            description="Squared weight of each component over the sum of them all.",
            label="component",
            value_label="share",
            names=names,
            bars=(Line("share", tuple(summary["shares"])),),
        )
    told = _columns_told(record)
    if told:
        yield Text(told)
    for factor in record.factors:
        yield from _factor_charts(factor)
    if record.factors:
        yield Text("The numbers of every component are in mode_0.csv and so on beside this page.")
    else:
        yield Text("A tensor train has cores instead of components; they are in factors.safetensors.")
    if "weights" in summary:
        rows = tuple(
            (Quantity(place, str(place)), weight, Quantity(share, "-" if share is None else f"{share:.1%}"))
            for place, (weight, share) in enumerate(
                zip(summary["weights"], summary["shares"], strict=True), 1
            )
        )
        yield Table(caption="Weights", columns=("component", "weight", "share"), rows=rows)


def _columns_told(record: DecompositionRecord) -> str:
    """How to read the columns of factors; empty for a tensor train, which has none."""
    summary = record.summary
    if not record.factors:
        return ""
    signs = (
        "No entry is negative (--nonnegative)."
        if summary["settings"].get("nonnegative")
        else "Signs come in pairs: a column may be negative in two modes at once, which --nonnegative forbids."
    )
    if "weights" in summary:
        return f"Columns have length 1; amounts are a column times the weight of its component. {signs}"
    return f"Columns say directions, the core how much of each goes together. {signs}"


def _factor_charts(factor: ModeFactor) -> Iterator[LineChart]:
    count = len(factor.columns)
    size = len(factor.columns[0]) if count else 0
    starts = range(0, count, _DRAWN)
    for start in starts[:_CHARTS]:
        end = min(start + _DRAWN, count)
        which = "" if count <= _DRAWN else f", components {start + 1} to {end}"
        left = count - _CHARTS * _DRAWN
        more = f" The last {left} are not drawn." if left > 0 and start == starts[_CHARTS - 1] else ""
        yield LineChart(
            title=f"Mode {factor.mode}{which}",
            description=f"Columns of the factor of mode {factor.mode}, one line per component.{more}",
            x_label=f"index in mode {factor.mode}",
            y_label="entry",
            x=range(size),
            lines=tuple(
                Line(f"component {number}", factor.columns[number - 1])
                for number in range(start + 1, end + 1)
            ),
        )


def _needed(key: str, count: int) -> tuple[Line, ...]:
    """Where a component begins to count."""
    return (Line("what counts", (1.0,) * count),) if key == "evidence" else ()


def _whose_errors(record: DecompositionRecord) -> str:
    """Why the error of the chosen rank is not quite that of the headline."""
    if record.masked:
        return (
            "Errors are those of the search, which fits nine tenths of the observed entries and holds out the others "
            "for the evidence; the headline is of the chosen rank, fitted to all of them."
        )
    return "Errors are those of the search; the headline is of the chosen rank, fitted further afterwards."


def rank_path_blocks(record: DecompositionRecord) -> Iterator[Block]:
    """Ranks that were tried, and spectra of a Tucker core."""
    summary = record.summary
    path = sorted(summary.get("rank_path") or (), key=lambda step: step["rank"])
    if path:
        ranks = tuple(float(step["rank"]) for step in path)
        chosen = (Mark(float(summary["rank"]), f"rank {summary['rank']}"),)
        for key, label, log in (("relative_error", "relative error", True), ("evidence", "evidence", True)):
            yield LineChart(
                title=f"{label[0].upper()}{label[1:]} of each rank",
                description="The least error found with so many components."
                if key == "relative_error"
                else "How surely the last component predicts held-out entries better; above 1 it counts."
                if record.masked
                else "What the last component gains over what it would gain from noise; above 1 it counts.",
                x_label="rank",
                y_label=label,
                x=ranks,
                lines=(Line(label, tuple(step[key] for step in path)), *_needed(key, len(path))),
                y_log=log,
                marks=chosen,
            )
        yield Table(
            caption="Ranks tried",
            columns=("rank", "relative error", "evidence", "BIC", "choice"),
            rows=tuple(
                (
                    step["rank"],
                    step["relative_error"],
                    step["evidence"],
                    step["bic"],
                    "chosen" if step["rank"] == summary["rank"] else "",
                )
                for step in path
            ),
            note=f"Chosen by evidence; BIC only to compare. {_whose_errors(record)}",
        )
    for one in record.spectra:
        top = one.values[0] if one.values and one.values[0] > 0 else None
        kept = summary["ranks"][one.mode]
        values = [value / top if top else None for value in one.values]
        places = spectrum_places(one, kept)
        yield LineChart(
            title=f"Spectrum of mode {one.mode}",
            description="Singular values of the unfolding as shares of the largest; right of the cut nothing is kept.",
            x_label="number of the singular value",
            y_label="singular value over the largest",
            x=tuple(float(place) for place in range(1, places + 1)),
            lines=(Line(f"mode {one.mode}", tuple(values + [None] * (places - len(values)))),),
            x_log=places >= LONG_SPECTRUM,
            y_log=True,
            marks=(Mark(float(kept), f"cut at {kept} of {one.size}"),),
        )
