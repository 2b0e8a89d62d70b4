"""The page of one decomposition, or of several side by side."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from math import prod
from typing import Any

from rankfold._display import duration, finite, shown_number
from rankfold.report._tables import sizes
from rankfold.report.page._blocks import (
    Block,
    Cell,
    Code,
    Fact,
    Group,
    Items,
    Page,
    Quantity,
    Section,
    Table,
    Text,
)
from rankfold.report.page._decomposition_charts import part_blocks, rank_path_blocks, trace_chart
from rankfold.report.page._decomposition_record import DecompositionRecord

__all__ = ["decomposition_page"]

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
        Section("What are the parts?", tuple(_each(records, part_blocks))),
        Section(
            "Where is the rank?", tuple(_each(records, rank_path_blocks)) or (Text("The ranks were given."),)
        ),
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
        name="relative error",
        value=shown_number(summary["relative_error"]),
        note=f"method {summary['method']}",
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
        yield Fact(name="ranks", value=sizes(summary["ranks"]), note=_how_ranks_came(summary["settings"]))
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


def _how_ranks_came(settings: Mapping[str, Any]) -> str:
    if settings.get("ranks"):
        return "given"
    bound = next((name for name in ("tolerance", "energy") if settings.get(name) is not None), None)
    return "found" if bound is None else f"found at {bound} {settings[bound]}"


def _worked(records: Sequence[DecompositionRecord]) -> Iterator[Block]:
    for record in records:
        yield Text(_told(record, f"{record.name}: " if len(records) > 1 else ""))
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
            yield trace_chart(trace, record.name if len(records) > 1 else "")


def _told(record: DecompositionRecord, name: str) -> str:
    """What was found in one sentence."""
    whole, error = prod(record.summary["shape"]), finite(record.summary["relative_error"])
    to = "an error that is no number" if error is None else f"a relative error of {shown_number(error)}"
    return f"{name}{record.numbers:,} numbers tell the {whole:,} of the tensor to {to}."


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


def _each(
    records: Sequence[DecompositionRecord], blocks_of: Callable[[DecompositionRecord], Iterable[Block]]
) -> Iterator[Block]:
    """The first as it is; the others folded away under their names."""
    for place, record in enumerate(records):
        blocks = tuple(blocks_of(record))
        if not place:
            yield from blocks
        elif blocks:
            yield Group(summary=f"Run {record.name}", blocks=blocks)


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
