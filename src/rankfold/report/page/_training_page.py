"""The page of one training run, or of several side by side."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from rankfold.report._tables import sizes
from rankfold.report.page._blocks import Block, Code, Group, Items, Live, Page, Section, Text
from rankfold.report.page._monitor_charts import monitor_blocks
from rankfold.report.page._rank_charts import rank_blocks, spectrum_blocks
from rankfold.report.page._training_advice import advice
from rankfold.report.page._training_charts import cost_blocks, layers_beside, learning_charts
from rankfold.report.page._training_facts import (
    differing_settings,
    epochs_done,
    fall_of,
    runs_table,
    training_facts,
    twin_of,
)
from rankfold.report.page._training_record import TrainingRecord
from rankfold.report.page._training_trouble import trouble_of

__all__ = ["training_page"]

_BlocksOf = Callable[[TrainingRecord], Iterable[Block]]


def training_page(records: Sequence[TrainingRecord], paths: Sequence[str], live: Live | None = None) -> Page:
    """Did it work, what did it cost, where is the rank, what to do next.

    Arguments:
        records: at least one run; a dense one of the same network and data stands beside the first factorised one.
        paths: of their folders as they would be typed.
        live: how far a single run is that goes on.

    Returns:
        The page.
    """
    twin = twin_of(records)
    main = next((record for record in records if not record.dense), records[0])
    if twin is main:
        twin = None
    several = len(records) > 1
    task = f"{main.settings['model']} on {main.settings['data']}"
    return Page(
        title=f"{task}: {len(records)} runs" if several else f"{task}: {main.name}",
        subtitle=_subtitle(main, live),
        facts=training_facts(main, twin),
        twin=_twin_name(main, twin),
        sections=(
            Section("Did it work?", tuple(_worked(records, live))),
            Section("What did it cost?", tuple(_cost(records, main))),
            Section("Where is the rank?", tuple(_rank(records, main, twin))),
            *_changed(records, main),
            Section(
                "What to do next?",
                (Items(tuple(_next(records, twin, paths, live))),),
            ),
            Section("How was it made?", tuple(_made(records))),
        ),
        about=main.versions,
        live=live,
    )


def _subtitle(main: TrainingRecord, live: Live | None) -> str:
    form = "dense" if main.dense else f"Tucker form, tolerance {main.settings['tolerance']:g}"
    state = "training" if live else "complete" if main.complete else "not complete"
    return f"{main.name}: {form}, {epochs_done(main)}, {state}"


def _twin_name(main: TrainingRecord, twin: TrainingRecord | None) -> str:
    if twin is not None:
        return f"the dense run “{twin.name}”"
    if main.dense or main.parameters is None:
        return ""
    known = "counted and timed" if main.times else "counted"
    return f"the same network with dense layers ({known}, not trained)"


def _worked(records: Sequence[TrainingRecord], live: Live | None) -> Iterator[Block]:
    for record in records:
        trouble = trouble_of(record)
        if trouble is not None:
            yield Text(f"{record.name}: {trouble.what}", warning=True)
        elif not record.metrics:
            yield Text(f"{record.name}: no epoch is complete yet.", warning=live is None)
        elif live is None and not record.complete:
            yield Text(f"{record.name}: not complete, {epochs_done(record)}.", warning=True)
        if trouble is None and (fallen := fall_of(record)) is not None:
            yield Text(f"{record.name}: {fallen}.", warning=True)
    if len(records) > 1:
        yield runs_table(records)
    yield from learning_charts(records)


def _cost(records: Sequence[TrainingRecord], main: TrainingRecord) -> Iterator[Block]:
    if not any(record.layers for record in records):
        yield Text("There is no model yet: it is written after the first whole epoch.")
        return
    if len(records) > 1:
        table = layers_beside(records)
        if table is not None:
            yield table
    yield from _each(records, main, cost_blocks)


def _rank(
    records: Sequence[TrainingRecord], main: TrainingRecord, twin: TrainingRecord | None
) -> Iterator[Block]:
    if all(record.dense for record in records):
        yield Text("The network is dense: every layer has its full rank.")
    elif not any(record.changes for record in records):
        yield Text("No truncation has happened yet.")
    kept = [layer for layer in main.layers if layer.ranks is not None]
    if kept:
        least = min(kept, key=lambda layer: layer.parameters / max(layer.parameters_dense, 1))
        yield Text(
            f"Cut deepest: {least.name or 'the network'}, {sizes(least.shape)} at ranks {sizes(least.ranks or ())}, "
            f"{least.parameters:,} of {least.parameters_dense:,} parameters."
        )
    factorised = [record for record in records if not record.dense]
    yield from _each(factorised, main, rank_blocks)
    if any(layer.spectra for record in records for layer in record.layers):
        yield Text("Spectra of the weights, with the cut:")
    yield from _each(factorised or records, main, lambda record: spectrum_blocks(record, twin))


def _changed(records: Sequence[TrainingRecord], main: TrainingRecord) -> Iterator[Section]:
    """A section of its own, where somebody looked."""
    blocks = tuple(_each(records, main, lambda record: monitor_blocks(record.states)))
    if blocks:
        yield Section("How did the weights change?", blocks)


def _each(records: Sequence[TrainingRecord], main: TrainingRecord, blocks_of: _BlocksOf) -> Iterator[Block]:
    """The main run as it is; the others folded away under their names."""
    for record in records:
        blocks = tuple(blocks_of(record))
        if record is main:
            yield from blocks
        elif blocks:
            yield Group(summary=f"Run {record.name}", blocks=blocks)


def _next(
    records: Sequence[TrainingRecord],
    twin: TrainingRecord | None,
    paths: Sequence[str],
    live: Live | None,
) -> Iterator[str]:
    if live is not None and trouble_of(records[0]) is None:
        yield "The training goes on; at its end it says here what to do next."
        return
    for record, path in zip(records, paths, strict=True):
        if record is twin:
            continue
        beside = twin if twin is not None and not record.dense else None
        for sentence in advice(record, beside, path):
            yield sentence if len(records) == 1 else f"{record.name}: {sentence}"


def _made(records: Sequence[TrainingRecord]) -> Iterator[Block]:
    for record in records:
        yield Code(record.command, f"The command that makes {record.name} again")
    table = differing_settings(records)
    if table.rows:
        yield table
    made = [", ".join(f"{name} {value}" for name, value in record.versions.items()) for record in records]
    if len(set(made)) == 1:
        yield from [Text(f"Made with {made[0]}.")] if made[0] else []
        return
    for record, versions in zip(records, made, strict=True):
        yield Text(f"{record.name} was made with {versions or 'no version that is known'}.")
