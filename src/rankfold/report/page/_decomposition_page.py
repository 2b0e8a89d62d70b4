"""The page of one decomposition, or of several side by side."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from rankfold._display import finite
from rankfold.report._tables import sizes
from rankfold.report.page._blocks import (
    Block,
    Cell,
    Code,
    Group,
    Page,
    Quantity,
    Section,
    Table,
    Text,
)
from rankfold.report.page._decomposition_advice import next_blocks
from rankfold.report.page._decomposition_charts import part_blocks, rank_path_blocks, trace_chart
from rankfold.report.page._decomposition_facts import decomposition_facts, found_sentence
from rankfold.report.page._decomposition_record import DecompositionRecord

__all__ = ["decomposition_page"]


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
        Section("What to do next?", tuple(next_blocks(records, paths))),
        Section("How was it made?", tuple(_made(records))),
    ]
    return Page(
        title=f"{file}: {len(records)} decompositions" if several else f"{file} in {summary['format']} form",
        subtitle=f"{'Big numbers: ' if several else ''}{main.name}: {what}, {summary['dtype']}",
        facts=tuple(decomposition_facts(main)),
        sections=tuple(sections),
        about={str(name): str(value) for name, value in summary["versions"].items()},
    )


def _worked(records: Sequence[DecompositionRecord]) -> Iterator[Block]:
    for record in records:
        yield Text(f"{record.name}: {found_sentence(record)}" if len(records) > 1 else found_sentence(record))
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
