"""The page of one decomposition, or of several side by side."""

from collections.abc import Iterator, Sequence
from math import prod
from typing import Any

from rankfold.report._tables import sizes
from rankfold.report.page._blocks import (
    BarChart,
    Block,
    Cell,
    Code,
    Fact,
    Group,
    Items,
    Line,
    LineChart,
    Mark,
    Page,
    Quantity,
    Section,
    Table,
    Text,
)
from rankfold.report.page._decomposition_record import DecompositionRecord, ModeFactor
from rankfold.report.page._numbers import duration, finite, shown_number

__all__ = ["decomposition_page"]

_DRAWN = 7  # components in one chart, as many as there are colours; the next ones get charts of their own
_CHARTS = 4  # of components per mode; the tables beside the page have all of them
_HEALTHY = 50.0  # per cent of core consistency: Bro and Kiers 2003, "A new efficient method for determining the number
# of components in PARAFAC models", call models below it problematic or invalid


def decomposition_page(records: Sequence[DecompositionRecord], paths: Sequence[str]) -> Page:
    """Did it work, what are the parts, which rank and how sure, what to do next.

    Arguments:
        records: at least one decomposition; the first gives the headline.
        paths: of their folders as they would be typed.

    Returns:
        The page.
    """
    main, several = records[0], len(records) > 1
    summary = main.summary
    file = str(summary["file"]).replace("\\", "/").rpartition("/")[2]
    what = f"{file}, {sizes(summary['shape'])}, in {summary['format']} form"
    sections = [
        Section("Did it work?", tuple(_worked(records))),
        Section("What are the parts?", tuple(_each(records, _parts))),
        Section("Where is the rank?", tuple(_each(records, _rank)) or (Text("The ranks were given."),)),
        Section("What to do next?", (Items(tuple(_next(records, paths))),)),
        Section("How was it made?", tuple(_made(records))),
    ]
    return Page(
        title=f"{file}: {len(records)} decompositions" if several else f"{file} in {summary['format']} form",
        subtitle=f"{main.name}: {what}, {summary['dtype']}",
        facts=tuple(_facts(main)),
        sections=tuple(sections),
        about={str(name): str(value) for name, value in summary["versions"].items()},
    )


def _facts(record: DecompositionRecord) -> Iterator[Fact]:
    summary = record.summary
    yield Fact(
        name="relative error", value=shown_number(summary["relative_error"]), note=f"by {summary['method']}"
    )
    if "rank" in summary:
        found = "the best so far" if summary.get("interrupted") else "found"
        given = summary["settings"].get("rank", "auto") != "auto"
        yield Fact(
            name="rank",
            value=str(summary["rank"]),
            note=f"{'given' if given else found}; {summary['agreement']['sentence']}",
        )
    else:
        yield Fact(name="ranks", value=sizes(summary["ranks"]))
    whole = prod(summary["shape"])
    yield Fact(
        name="numbers",
        value=f"{record.numbers:,}",
        twin=f"{whole:,} dense",
        note=f"{record.numbers / whole:.2%} of the tensor" if whole else "",
    )
    if summary.get("core_consistency") is not None:
        yield Fact(
            name="core consistency", value=f"{summary['core_consistency']:.1f} %", note="100 % is perfect"
        )
    yield Fact(name="time", value=duration(summary["seconds"]), note="reading and writing apart")


def _worked(records: Sequence[DecompositionRecord]) -> Iterator[Block]:
    for record in records:
        if record.summary.get("interrupted"):
            yield Text(f"{record.name}: interrupted; this is the best that was found by then.", warning=True)
        warning = record.summary.get("degeneracy", {}).get("warning")
        if warning:
            yield Text(f"{record.name}: {warning}", warning=True)
    if len(records) > 1:
        yield _side_by_side(records)
    for record in records:
        trace = record.summary["trace"]
        if len(trace) > 1:
            yield _trace_chart(trace, record.name if len(records) > 1 else "")


def _side_by_side(records: Sequence[DecompositionRecord]) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for record in records:
        summary = record.summary
        consistency = finite(summary.get("core_consistency"))
        rows.append(
            (
                record.name,
                str(summary["format"]),
                sizes(summary["ranks"]) if "rank" not in summary else str(summary["rank"]),
                summary["relative_error"],
                record.numbers,
                str(summary["method"]),
                Quantity(consistency, "-" if consistency is None else f"{consistency:.1f} %"),
                Quantity(summary["seconds"], f"{summary['seconds']:.1f}"),
            )
        )
    columns = ("run", "format", "ranks", "relative error", "numbers", "method", "core consistency", "seconds")
    return Table(caption="Decompositions side by side", columns=columns, rows=tuple(rows))


def _trace_chart(trace: Sequence[dict[str, Any]], name: str) -> LineChart:
    points = sorted(trace, key=lambda point: point["seconds"] or 0.0)
    ranks = sorted({point["rank"] for point in points})
    shown = len(ranks) <= _DRAWN
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
        + (", one line per number of components." if shown and len(ranks) > 1 else "."),
        x_label="seconds since the start",
        y_label="relative error",
        x=tuple(float(point["seconds"] or 0.0) for point in points),
        lines=lines,
        y_log=True,
    )


def _each(records: Sequence[DecompositionRecord], blocks_of: Any) -> Iterator[Block]:
    """The first as it is; the others folded away under their names."""
    for place, record in enumerate(records):
        blocks = tuple(blocks_of(record))
        if not place:
            yield from blocks
        elif blocks:
            yield Group(summary=f"Run {record.name}", blocks=blocks)


def _parts(record: DecompositionRecord) -> Iterator[Block]:
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


def _rank(record: DecompositionRecord) -> Iterator[Block]:
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
                else "What the last component gains over what it would gain from noise; above 1 it counts.",
                x_label="rank",
                y_label=label,
                x=ranks,
                lines=(Line(label, tuple(step[key] for step in path)),),
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
            note="Chosen by evidence; BIC only to compare.",
        )
    for one in record.spectra:
        top = one.values[0] if one.values and one.values[0] > 0 else None
        kept = summary["ranks"][one.mode]
        values = [value / top if top else None for value in one.values]
        yield LineChart(
            title=f"Spectrum of mode {one.mode}",
            description="Singular values of the unfolding as shares of the largest; right of the cut nothing is kept.",
            x_label="number of the singular value",
            y_label="singular value over the largest",
            x=tuple(float(place) for place in range(1, max(one.size, len(values)) + 1)),
            lines=(Line(f"mode {one.mode}", tuple(values + [None] * max(0, one.size - len(values)))),),
            y_log=True,
            marks=(Mark(float(kept), f"cut at {kept} of {one.size}"),),
        )


def _next(records: Sequence[DecompositionRecord], paths: Sequence[str]) -> Iterator[str]:
    for record, path in zip(records, paths, strict=True):
        for sentence in _advice(record, path):
            yield sentence if len(records) == 1 else f"{record.name}: {sentence}"


def _advice(record: DecompositionRecord, path: str) -> Iterator[str]:
    summary = record.summary
    if summary.get("interrupted"):
        yield "The search was interrupted; run the command below again to let it end."
    agreement = summary.get("agreement")
    if agreement and not agreement.get("reached"):
        yield f"The components are {agreement['sentence']}: --restarts 10 would tell whether they come again."
    consistency = finite(summary.get("core_consistency"))
    if consistency is not None and consistency < _HEALTHY:
        yield (
            f"The core consistency is {consistency:.1f} %, below {_HEALTHY:g} %: components mix with each other; look "
            "at one component less with --rank."
        )
    if summary.get("degeneracy", {}).get("suspected"):
        yield "Two components nearly cancel: try --nonnegative where that makes sense, or a lower --rank."
    yield f"Read the factors in Python: rankfold.load_decomposition({f'{path}/factors.safetensors'!r})"
    yield "Compare with other settings: decompose again with another --out and pass both folders to rankfold report."


def _made(records: Sequence[DecompositionRecord]) -> Iterator[Block]:
    for record in records:
        yield Code(record.command, f"The command that makes {record.name} again")
    names = list(dict.fromkeys(name for record in records for name in record.summary["settings"]))
    rows = []
    for name in names:
        cells = [_word(record.summary["settings"].get(name)) for record in records]
        if len(records) == 1 or len(set(cells)) > 1:
            rows.append((name, *cells))
    if rows:
        header = ("value",) if len(records) == 1 else tuple(record.name for record in records)
        caption = "Settings" if len(records) == 1 else "Settings that differ"
        yield Table(caption=caption, columns=("setting", *header), rows=tuple(rows))


def _word(value: object) -> str:
    return "not set" if value in (None, []) else str(value)
