"""The page of one layer that was timed, dense and at several ranks, or of several side by side."""

import shlex
from collections.abc import Iterator, Sequence
from pathlib import PurePath

from rankfold.report._bench_layer import GAIN, break_even_rank, verdict
from rankfold.report._quantities import milliseconds
from rankfold.report.page._bench_record import BenchRecord
from rankfold.report.page._bench_views import (
    benches_table,
    speedup_chart,
    speedups_table,
    time_chart,
    times_table,
)
from rankfold.report.page._blocks import Block, Code, Fact, Items, Page, Section, Table, Text

__all__ = ["bench_page"]

_TRAINING = "--training"
_SPEEDUP = (
    f"A gain of less than {GAIN - 1:.0%} counts as none. Speed-up: the time of the dense layer over that of the faster "
    "of the layer and what it folds to; in training over that of the layer, for folded layers are for use."
)
_WHOLE = (
    "A whole model: rankfold.factorize(model, rankfold.Latency(example_inputs=x)) measures every layer on the shapes "
    "it sees, and leaves dense what low rank does not make faster."
)


def bench_page(records: Sequence[BenchRecord], paths: Sequence[str]) -> Page:
    """Is low rank faster, what does it cost, up to which rank, what to do next.

    Arguments:
        records: at least one measurement; a single one gives the headline.
        paths: of their files as they would be typed.

    Returns:
        The page.
    """
    main, several = records[0], len(records) > 1
    layers = {record.bench.title.partition(",")[0] for record in records}
    names = [f", {record.name}" if several else "" for record in records]
    named = list(zip(records, names, strict=True))
    return Page(
        title=f"{layers.pop() if len(layers) == 1 else 'Layers'}{f', timed {len(records)} times' if several else ''}",
        subtitle=", ".join(record.name for record in records) if several else main.bench.title,
        facts=() if several else tuple(_facts(main)),
        sections=(
            Section("Did it work?", tuple(_worked(records))),
            Section(
                "What did it cost?",
                (*(time_chart(*one) for one in named), *(times_table(*one) for one in named)),
            ),
            Section(
                "Where is the rank?",
                (*(speedup_chart(*one) for one in named), *([speedups_table(records)] if several else [])),
            ),
            Section("What to do next?", tuple(_next(records, paths))),
            Section("How was it made?", tuple(_made(records, paths))),
        ),
        about=main.versions,
    )


def _facts(record: BenchRecord) -> Iterator[Fact]:
    best, rank = record.best, break_even_rank(record.bench.ranks)
    yield Fact(name="dense", value=_time(record.bench.dense), note=f"a batch of {record.settings['batch']}")
    yield Fact(
        name="break-even rank", value="none" if rank is None else str(rank), note=verdict(record.bench)
    )
    work = f"FLOPs are {best.flop_ratio:.2f} times fewer" if best.flop_ratio >= 1 else "FLOPs are not fewer"
    yield Fact(name="best speed-up", value=f"{best.speedup:.2f}x", note=f"at rank {best.rank}, where {work}")


def _worked(records: Sequence[BenchRecord]) -> Iterator[Block]:
    if len(records) == 1:
        yield Text(verdict(records[0].bench))
    else:
        yield Items(tuple(f"{record.name}: {verdict(record.bench)}" for record in records))
        yield benches_table(records)
    yield Text(_SPEEDUP)


def _next(records: Sequence[BenchRecord], paths: Sequence[str]) -> Iterator[Block]:
    several = len(records) > 1
    sentences = [
        f"{record.name}: {sentence}" if several else sentence
        for record in records
        for sentence in _advice(record)
    ]
    yield Items((*sentences, _WHOLE))
    if not several:
        yield _other_way(records[0], paths[0])


def _advice(record: BenchRecord) -> Iterator[str]:
    faster = [row for row in record.bench.ranks if row.speedup > GAIN]
    if not faster:
        least = record.bench.ranks[0].rank
        yield (
            "Leave a layer like this one dense: name it in exclude of rankfold.factorize. "
            f"Ranks below {least} were not tried."
        )
        return
    largest = faster[-1]
    if faster == list(record.bench.ranks[: len(faster)]):
        yield (
            f"Give a layer like this one a rank of {largest.rank} or less; at {largest.rank} it is "
            f"{largest.speedup:.2f} times as fast as dense."
        )
    else:
        yield f"Give a layer like this one a rank of {', '.join(str(row.rank) for row in faster)}, or leave it dense."
    if not record.training:
        best = min(faster, key=lambda row: row.folded)
        if best.folded < best.factorized:
            yield (
                f"Fold it for use with rankfold.fold(model, example_inputs=x): at rank {best.rank} that takes "
                f"{_time(best.folded)} instead of {_time(best.factorized)}."
            )


def _other_way(record: BenchRecord, path: str) -> Code:
    """The same layer in training where it was in use, and the other way round."""
    words = [word for word in shlex.split(record.command) if word != _TRAINING]
    words += [] if record.training else [_TRAINING]
    file = PurePath(shlex.split(path)[0])
    there = shlex.quote(str(file.with_stem(f"{file.stem}-{'forward' if record.training else 'training'}")))
    work = "the forward alone" if record.training else "forward and backward"
    return Code(
        f"{shlex.join(words)} --json {there}\nrankfold report {path} {there}",
        f"Time {work}, and see both side by side",
    )


def _made(records: Sequence[BenchRecord], paths: Sequence[str]) -> Iterator[Block]:
    for record, path in zip(records, paths, strict=True):
        yield Code(f"{record.command} --json {path}", f"The command that makes {record.name} again")
    rows = []
    for name in dict.fromkeys(name for record in records for name in record.settings):
        cells = [_word(record.settings.get(name)) for record in records]
        if len(records) == 1 or len(set(cells)) > 1:
            rows.append((name.replace("_", " "), *cells))
    if rows:
        header = ("value",) if len(records) == 1 else tuple(record.name for record in records)
        caption = "Settings" if len(records) == 1 else "Settings in which they differ"
        yield Table(caption=caption, columns=("setting", *header), rows=tuple(rows))
    made = [", ".join(f"{name} {value}" for name, value in record.versions.items()) for record in records]
    if len(set(made)) == 1:
        yield Text(f"Made with {made[0]}.")
    else:
        yield Items(tuple(f"{record.name}: {one}" for record, one in zip(records, made, strict=True)))


def _word(value: object) -> str:
    return "not set" if value is None else str(value)


def _time(seconds: float) -> str:
    return f"{milliseconds(seconds)} ms"
