"""The headline of a compression, and whether it worked."""

from collections.abc import Iterator

from rankfold._display import finite, shown_number
from rankfold.report._quantities import count
from rankfold.report.page._blocks import Block, Fact, Text
from rankfold.report.page._compression_record import CompressionRecord

__all__ = ["changed_much", "compression_facts", "in_milliseconds", "verdict_blocks"]

# Choices of this library.
_DROP = 0.01  # accuracy lost that is worth a warning; one point
_CHANGED = (
    0.1  # of the outputs that is large where nothing says what it does to the answers: 20 dB below them
)
_SLOWER = 1.05  # time now over time before that is worth a warning


def compression_facts(record: CompressionRecord) -> Iterator[Fact]:
    """Accuracy, parameters, operations, time and file, each beside that of the dense network."""
    before, after = record.before, record.after
    if record.gained is not None:
        yield Fact(
            name="accuracy",
            value=f"{after.accuracy:.2%}",
            twin=f"{before.accuracy:.2%}",
            note=f"{100 * record.gained:+.2f} points, on {record.test_samples:,} test samples",
        )
    elif record.output_change is not None:
        yield Fact(
            name="change of the outputs",
            value=_share(record.output_change),
            note="in norm, before any fine-tuning; the accuracy was not measured",
        )
    yield Fact(
        name="parameters",
        value=f"{after.parameters:,}",
        twin=f"{before.parameters:,}",
        note=_fewer(after.parameters, before.parameters),
    )
    yield Fact(
        name="FLOPs per sample",
        value=count(after.flops),
        twin=count(before.flops),
        note=_fewer(after.flops, before.flops),
    )
    yield Fact(
        name=f"time for {record.samples_timed}",
        value=in_milliseconds(after.seconds),
        twin=in_milliseconds(before.seconds),
        note=f"{record.place}, {_longer(record.time_ratio)}",
    )
    yield Fact(
        name="bytes of the file",
        value=f"{after.bytes:,}",
        twin=f"{before.bytes:,}",
        note=_fewer(after.bytes, before.bytes),
    )


def verdict_blocks(record: CompressionRecord, name: str) -> Iterator[Block]:
    """What became of the network, in sentences; what is wrong stands out.

    Arguments:
        record: of the compression.
        name: where several stand beside each other; goes before what is wrong, the rest is in a table then.
    """
    for sentence, warning in _verdicts(record):
        if warning or not name:
            yield Text(f"{name}: {sentence}" if name else sentence, warning=warning)


def _verdicts(record: CompressionRecord) -> Iterator[tuple[str, bool]]:
    if not record.compressed:
        yield "No layer was compressed: the network is what it was.", True
    yield from _accuracy(record)
    change = record.output_change
    if change is not None and finite(change) is None:
        yield "The outputs are no finite numbers any more.", True
    elif change is not None:
        on = "on the first batch of the calibration data" if record.samples else "on inputs of random numbers"
        changed = (
            f"The outputs changed by {change:.2%} in norm {on}, before any fine-tuning; 0% is no change."
        )
        yield f"{changed}{_judged(record)}", changed_much(record)
    ratio = record.time_ratio
    if ratio is not None and ratio > _SLOWER:
        yield (
            f"The network became slower: {record.samples_timed} take {in_milliseconds(record.after.seconds)}, the "
            f"dense network takes {in_milliseconds(record.before.seconds)} ({record.place}).",
            True,
        )
    if record.after.parameters > record.before.parameters:
        yield "The network became larger: it has more parameters than the dense one.", True
    wanted = record.settings["export"]
    if wanted is not None and record.export is None:
        why = f": {record.export_failure}" if record.export_failure else "."
        yield f"The network could not be exported as {wanted}{why}", True


def changed_much(record: CompressionRecord) -> bool:
    """Whether the outputs changed so much that it stands out, where no accuracy says what that means."""
    change = finite(record.output_change)
    return record.gained is None and change is not None and change > _CHANGED


def _judged(record: CompressionRecord) -> str:
    """What to think of the change of the outputs, where no accuracy says it."""
    if record.gained is not None:
        return ""
    if changed_much(record):
        return (
            f" That is a large change (over {_CHANGED:.0%}): allow more parameters, or fine-tune in Python "
            "(rankfold.FineTuning)."
        )
    return f" That is no large change (not over {_CHANGED:.0%}), yet only labels tell what it does to the answers."


def _accuracy(record: CompressionRecord) -> Iterator[tuple[str, bool]]:
    gained = record.gained
    if gained is None:
        yield (
            "The accuracy was not measured: no data set with labels was named. “What to do next?” has the lines that "
            "measure it on data of yours.",
            False,
        )
        return
    now, before = record.after.accuracy, record.before.accuracy
    wrong = round(abs(gained) * record.test_samples)
    samples = "sample is" if wrong == 1 else "samples are"
    change = (
        "as many as before"
        if not wrong
        else f"{100 * abs(gained):.2f} points less, {wrong:,} more {samples} wrong"
        if gained < 0
        else f"{100 * gained:.2f} points more, {wrong:,} more {samples} right"
    )
    yield (
        f"The compressed network is right on {now:.2%} of {record.test_samples:,} test samples, the dense one on "
        f"{before:.2%}: {change}.",
        gained < -_DROP,
    )


def in_milliseconds(seconds: float) -> str:
    """A time of one call.

    Example:
        >>> in_milliseconds(0.0620518)
        '62.05 ms'
    """
    return f"{shown_number(1000 * seconds)} ms"


def _share(value: float) -> str:
    return "-" if finite(value) is None else f"{value:.2%}"


def _fewer(after: float, before: float) -> str:
    if not before:
        return ""
    less = 1 - after / before
    return f"{less:.1%} fewer" if less >= 0 else f"{-less:.1%} more"


def _longer(ratio: float | None) -> str:
    if ratio is None:
        return "too short to compare"
    return f"{ratio - 1:.1%} longer" if ratio > 1 else f"{1 - ratio:.1%} shorter"
