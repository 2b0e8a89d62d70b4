"""The page of one compression, or of several side by side."""

from collections.abc import Iterable, Iterator, Sequence

from rankfold._display import duration, folded_command
from rankfold.report.page._blocks import Block, Code, Group, Page, Section, Table, Text
from rankfold.report.page._compression_advice import next_blocks
from rankfold.report.page._compression_beside import beside_table, layers_beside, trade_off_charts
from rankfold.report.page._compression_costs import cost_blocks
from rankfold.report.page._compression_facts import compression_facts, verdict_blocks
from rankfold.report.page._compression_ranks import rank_blocks
from rankfold.report.page._compression_record import CompressionRecord

__all__ = ["compression_page"]


def compression_page(records: Sequence[CompressionRecord], paths: Sequence[str]) -> Page:
    """Did it work, what did it cost, where is the rank, what to do next.

    Arguments:
        records: at least one compression; the first gives the headline.
        paths: of the records as they would be typed into a shell.

    Returns:
        The page.
    """
    main, several = records[0], len(records) > 1
    model = main.settings["model"]
    return Page(
        title=f"{model}: {len(records)} compressions"
        if several
        else f"{model} with {main.share:.1%} of its parameters",
        subtitle=f"{'Big numbers: ' if several else ''}{_subtitle(main)}",
        facts=tuple(compression_facts(main)),
        twin="the dense network",
        sections=(
            Section("Did it work?", tuple(_worked(records))),
            Section("What did it cost?", tuple(_cost(records))),
            Section("Where is the rank?", tuple(_each(records, map(rank_blocks, records)))),
            Section("What to do next?", tuple(_next(records, paths))),
            Section("How was it made?", tuple(_made(records))),
        ),
        about=main.versions,
    )


def _subtitle(record: CompressionRecord) -> str:
    calibration = (
        f"calibrated on {record.samples:,} samples of {record.settings['calibrate']}"
        if record.samples
        else "without calibration"
    )
    epochs = record.settings["finetune_epochs"]
    tuning = f"fine-tuned for {epochs} epoch{'s' if epochs > 1 else ''}" if epochs else "not fine-tuned"
    return f"{record.name}: {record.settings['policy']}, {calibration}, {tuning}"


def _worked(records: Sequence[CompressionRecord]) -> Iterator[Block]:
    several = len(records) > 1
    if several:
        yield beside_table(records)
        yield from trade_off_charts(records)
    for record in records:
        yield from verdict_blocks(record, record.name if several else "")


def _cost(records: Sequence[CompressionRecord]) -> Iterator[Block]:
    if len(records) > 1:
        table = layers_beside(records)
        if table is not None:
            yield table
    yield from _each(records, map(cost_blocks, records))


def _each(records: Sequence[CompressionRecord], answers: Iterable[Iterable[Block]]) -> Iterator[Block]:
    """The answer of one as it is; those of several under their names, the first of them unfolded."""
    for place, (record, blocks) in enumerate(zip(records, answers, strict=True)):
        if len(records) == 1:
            yield from blocks
        else:
            yield Group(summary=f"Compression {record.name}", blocks=tuple(blocks), opened=not place)


def _next(records: Sequence[CompressionRecord], paths: Sequence[str]) -> Iterator[Block]:
    yield from _each(records, map(next_blocks, records, paths))
    if len(records) == 1:
        yield Text("Put another compression beside this one:")
        yield Code(f"rankfold report {paths[0]} other.compression.json")


def _made(records: Sequence[CompressionRecord]) -> Iterator[Block]:
    for record in records:
        yield Code(folded_command(record.command), f"The command that makes “{record.name}” again")
    yield from _settings(records)
    for record in records:
        took = ", ".join(f"{name} {duration(seconds)}" for name, seconds in record.seconds.items())
        with_ = ", ".join(f"{name} {version}" for name, version in record.versions.items())
        yield Text(
            f"“{record.name}” took: {took or 'not known'}. Made with {with_ or 'no version that is known'}."
        )


def _settings(records: Sequence[CompressionRecord]) -> Iterator[Table]:
    """All settings of one compression, those that differ of several."""
    rows = []
    for name in dict.fromkeys(name for record in records for name in record.settings):
        cells = [_word(record.settings.get(name)) for record in records]
        if len(records) == 1 or len(set(cells)) > 1:
            rows.append((name.replace("_", " "), *cells))
    caption = "Settings" if len(records) == 1 else "Settings in which the compressions differ"
    header = ("value",) if len(records) == 1 else tuple(record.name for record in records)
    if rows:
        yield Table(caption=caption, columns=("setting", *header), rows=tuple(rows))


def _word(value: object) -> str:
    return "not set" if value in (None, []) else str(value)
