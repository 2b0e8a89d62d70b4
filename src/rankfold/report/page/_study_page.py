"""The page of one run of a study, or of several: side by side if they are of one study, else as a list."""

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import PurePath

from rankfold._display import duration
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
from rankfold.report.page._study_checks import checks_beside, checks_table, failures
from rankfold.report.page._study_record import StudyRecord
from rankfold.report.page._study_views import FIGURES, measured_blocks

__all__ = ["study_page"]

_LISTED = 12  # missing cases that are named; more are counted
_VERDICT = (
    "The verdict counts the checks of this size: it holds if every one does, does not hold if none does, holds in part "
    "between the two, however few hold, and is not decided if none failed but one could not be measured. Before you "
    "quote it, read the checks that do not hold and the remarks."
)


def study_page(records: Sequence[StudyRecord], paths: Sequence[str]) -> Page:
    """Did it work, what was measured, what did it cost, what to do next.

    Arguments:
        records: at least one run; of one study they stand side by side, of several in a list.
        paths: of their folders as they would be typed.

    Returns:
        The page.
    """
    main, one = records[0], len({record.study for record in records}) == 1
    several = len(records) > 1
    return Page(
        title=f"{len(records)} studies"
        if not one
        else main.title + (f": {len(records)} runs" if several else ""),
        subtitle=f"Claim: {main.claim}" if one else ", ".join(record.study for record in records),
        facts=tuple(_facts(main) if not several else _counts(records)),
        sections=(
            Section("Did it work?", tuple(_worked(records, one))),
            Section("What was measured?", tuple(_measured(records, one))),
            Section("What did it cost?", tuple(_cost(records))),
            Section("What to do next?", tuple(_next(records, paths))),
            Section("How was it made?", tuple(_made(records))),
        ),
        about=main.facts,
    )


def _facts(record: StudyRecord) -> Iterator[Fact]:
    yield Fact(name="verdict", value=record.verdict, note=record.held)
    where = f"{record.size} size" + (
        f", seed {record.parameters['seed']}" if "seed" in record.parameters else ""
    )
    yield Fact(name="cases", value=f"{record.done:,} of {record.cases:,}", note=where)
    yield Fact(name="time", value=duration(record.seconds), note="of all cases together")


def _counts(records: Sequence[StudyRecord]) -> Iterator[Fact]:
    for verdict, count in Counter(record.verdict for record in records).most_common():
        yield Fact(name=verdict, value=f"{count} of {len(records)}")
    yield Fact(name="time", value=duration(sum(record.seconds for record in records)), note="all together")


def _worked(records: Sequence[StudyRecord], one: bool) -> Iterator[Block]:
    main = records[0]
    if one:
        yield Text(f"Paper: {main.paper}.")
    for record in records:
        yield from _warnings(record, f"{record.name}: " if len(records) > 1 else "")
    if len(records) > 1:
        yield _overview(records, one)
    if one:
        yield checks_table(main) if len(records) == 1 else checks_beside(records)
        for record in records:
            yield from _failed(record, f" in {record.name}" if len(records) > 1 else "")
        if main.remarks:
            yield Text("Remarks:")
            yield Items(main.remarks)
    yield Text(_VERDICT)


def _warnings(record: StudyRecord, name: str) -> Iterator[Block]:
    if record.left:
        cases = f"{record.left:,} case{'s are' if record.left > 1 else ' is'}"
        yield Text(f"{name}The run was stopped before its end: {cases} missing.", warning=True)
    if record.missing:
        yield Text(
            f"{name}{len(record.missing):,} of {record.cases:,} cases could not be run here:", warning=True
        )
        more = len(record.missing) - _LISTED
        named = [f"{case}: {reason}" for case, reason in record.missing[:_LISTED]]
        yield Items((*named, *([f"and {more:,} more"] if more > 0 else [])))


def _failed(record: StudyRecord, where: str) -> Iterator[Block]:
    sentences = tuple(failures(record))
    if sentences:
        yield Text(f"Where it did not hold{where}:")
        yield Items(sentences)
    elif record.checks:
        yield Text(f"Every check of this size held{where}.")


def _overview(records: Sequence[StudyRecord], one: bool) -> Table:
    rows: list[tuple[Cell, ...]] = []
    for record in records:
        told = () if one else (record.claim,)
        share = record.done / record.cases if record.cases else None
        rows.append(
            (
                record.name,
                record.verdict,
                record.held,
                Quantity(share, f"{record.done:,} of {record.cases:,}"),
                record.size,
                str(record.parameters.get("seed", "")),
                Quantity(record.seconds, f"{record.seconds:.1f}"),
                *told,
            )
        )
    claim = () if one else ("claim",)
    return Table(
        caption="Runs side by side" if one else "Verdicts",
        columns=("run" if one else "study", "verdict", "checks", "cases", "size", "seed", "seconds", *claim),
        rows=tuple(rows),
    )


def _measured(records: Sequence[StudyRecord], one: bool) -> Iterator[Block]:
    """The first run of one study as it is; all others folded away under their names."""
    room = FIGURES
    for place, record in enumerate(records):
        blocks = tuple(measured_blocks(record, room))
        room -= len(record.figure or "") if len(record.figure or "") <= room else 0
        if one and not place:
            yield from blocks
        elif one:
            yield Group(summary=f"Run {record.name}", blocks=blocks)
        else:
            told = (Text(f"Claim: {record.claim}"), Text(f"Paper: {record.paper}."), checks_table(record))
            remarks = (Text("Remarks:"), Items(record.remarks)) if record.remarks else ()
            inside = (*told, *_failed(record, ""), *remarks, *blocks)
            yield Group(summary=f"{record.name}: {record.verdict}", blocks=inside)


def _cost(records: Sequence[StudyRecord]) -> Iterator[Block]:
    names = list(dict.fromkeys(name for record in records for name in record.facts))
    rows: list[tuple[Cell, ...]] = []
    for record in records:
        each = record.seconds / record.done if record.done else None
        rows.append(
            (
                record.name,
                record.size,
                record.done,
                Quantity(record.seconds, f"{record.seconds:.1f}"),
                Quantity(each, "-" if each is None else f"{each:.3g}"),
                *(record.facts.get(name, "") for name in names),
            )
        )
    yield Table(
        caption="Cases, time and machine",
        columns=("run", "size", "cases", "seconds", "seconds per case", *names),
        rows=tuple(rows),
    )


def _next(records: Sequence[StudyRecord], paths: Sequence[str]) -> Iterator[Block]:
    for record, path in zip(records, paths, strict=True):
        name = f"{record.name}: " if len(records) > 1 else ""
        here = PurePath(shlex.split(path)[0]).parent
        if record.left:
            yield Code(f"{record.command} {_words('--out', here)}", f"{name}Run the cases that are missing")
        if record.size == "quick":
            words = _words("rankfold", "study", record.study, "--full", "--out", _beside(here, "full"))
            yield Code(words, f"{name}Run the full size, larger and slower")
        if len(records) == 1:
            yield from _another_seed(record, here, path)
    if len(records) == 1:
        yield Text("rankfold study --list shows all studies; rankfold report takes the folders of several.")


def _another_seed(record: StudyRecord, here: PurePath, path: str) -> Iterator[Block]:
    seed = record.parameters.get("seed")
    if type(seed) is not int:
        return
    there = _beside(here, f"seed-{seed + 1}")
    again = ["rankfold", "study", record.study, *(["--full"] if record.size == "full" else [])]
    words = _words(*again, "--seed", seed + 1, "--out", there)
    beside = f"rankfold report {path} {_words(there / record.study)}"
    yield Code(f"{words}\n{beside}", "Try other random numbers, and see both runs side by side")


def _beside(folder: PurePath, word: str) -> PurePath:
    """A folder of another name beside this one."""
    return folder.with_name(f"{folder.name}-{word}") if folder.name not in ("", "..") else folder / word


def _words(*words: object) -> str:
    return shlex.join(map(str, words))


def _made(records: Sequence[StudyRecord]) -> Iterator[Block]:
    for record in records:
        yield Code(record.command, f"The command that makes {record.name} again")
    if len({record.study for record in records}) > 1:
        return
    given = [dict(_flat(record.parameters)) for record in records]
    rows = []
    for name in dict.fromkeys(name for one in given for name in one):
        cells = [one.get(name, "not there") for one in given]
        if len(records) == 1 or len(set(cells)) > 1:
            rows.append((name, *cells))
    if rows:
        header = ("value",) if len(records) == 1 else tuple(record.name for record in records)
        caption = "Parameters" if len(records) == 1 else "Parameters in which the runs differ"
        yield Table(caption=caption, columns=("parameter", *header), rows=tuple(rows))


def _flat(values: object, above: str = "") -> Iterator[tuple[str, str]]:
    """Names and values; those inside another have its name before theirs."""
    if not isinstance(values, dict):
        yield above, str(values)
        return
    for name, value in values.items():
        yield from _flat(value, f"{above}: {name}" if above else str(name))
