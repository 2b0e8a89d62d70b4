"""What to do after a compression: each step with the number it rests on and the words to type."""

import shlex
from collections.abc import Iterator

from rankfold._display import folded_command
from rankfold.data import DATASETS
from rankfold.models import MODELS
from rankfold.report.page._blocks import Block, Code, Text
from rankfold.report.page._compression_facts import changed_much, in_milliseconds
from rankfold.report.page._compression_python import accuracy_lines, tuning_lines, use_lines
from rankfold.report.page._compression_record import CompressionRecord
from rankfold.report.page._compression_steps import changed_policy, faster_policy

__all__ = ["next_blocks", "with_settings"]

# Choices of this library.
_APART = 0.005  # accuracy within which two networks count as equal; half a point
_SAME_TIME = 0.95  # time now over time before above which a network counts as hardly faster
_EPOCHS = 3  # of a first fine-tuning
_SAMPLES = 500  # of a first calibration
_RECORD, _NETWORK = ".compression.json", ".safetensors"


def next_blocks(record: CompressionRecord, path: str) -> Iterator[Block]:
    """Steps in the order in which they are worth trying.

    Arguments:
        record: of the compression.
        path: of the record as it would be typed.
    """
    file = shlex.split(path)[0].removesuffix(_RECORD) + _NETWORK
    if record.gained is None:
        yield from _unmeasured(record, file)
    yield from _better(record)
    yield from _smaller(record)
    yield from _faster(record)
    yield Text("Use the compressed network in Python; the last line makes plain torch layers of the factors:")
    yield Code(use_lines(record, file))
    if record.export is None:
        yield from _export(record, file)


def _unmeasured(record: CompressionRecord, file: str) -> Iterator[Block]:
    """How to measure the accuracy, and what brings the outputs closer where they changed much."""
    yield Text(
        "Measure the accuracy of a classifier, dense and compressed: inputs and labels are tensors of yours, a row per "
        f"sample. A network for one of {', '.join(DATASETS)} is measured by --calibrate and that name, too:"
    )
    yield Code(accuracy_lines(record, file))
    if not changed_much(record):
        return
    changed = f"The outputs changed by {record.output_change:.2%}"
    policy = changed_policy(record.settings["policy"], more=True)
    if policy is not None:
        yield from _again(
            record,
            f"{changed} at {record.settings['policy']}: allow more parameters",
            "larger",
            policy=policy,
        )
    yield Text(
        f"{changed}: fine-tune the factors in Python, where batches is a list of pairs of inputs and labels of yours:"
    )
    yield Code(tuning_lines(record, f"{_stem(record)}-tuned{_NETWORK}", _EPOCHS))


def _better(record: CompressionRecord) -> Iterator[Block]:
    """What raises the accuracy, or brings the outputs closer, where that is wanted."""
    settings, gained = record.settings, record.gained
    if not record.samples:
        yield from _calibrated(record)
    if gained is None or gained >= -_APART:
        return
    lost = f"The accuracy is {-100 * gained:.2f} points lower"
    epochs = settings["finetune_epochs"]
    if not epochs:
        yield from _again(
            record,
            f"{lost}, and nothing was trained after the ranks were cut: fine-tune the factors",
            "tuned",
            finetune_epochs=str(_EPOCHS),
        )
    else:
        yield from _again(
            record,
            f"{lost} after {epochs} epoch{'s' if epochs > 1 else ''} of fine-tuning: train longer",
            "tuned",
            finetune_epochs=str(2 * epochs),
        )
    policy = changed_policy(settings["policy"], more=True)
    if policy is not None:
        yield from _again(record, f"{lost} at {settings['policy']}: keep more", "larger", policy=policy)


def _calibrated(record: CompressionRecord) -> Iterator[Block]:
    why = "The ranks were found from the weights alone. Samples show which directions the network uses"
    if record.settings["calibrate"] is not None:
        yield from _again(record, why, "calibrated", calibration_samples=str(_SAMPLES))
        return
    names = ", ".join(DATASETS)
    which = (
        f"a file of yours in the place of inputs.npy, or a data set ({names}), which gives the accuracy, too"
    )
    yield from _again(record, f"{why}: {which}", "calibrated", calibrate="inputs.npy")


def _smaller(record: CompressionRecord) -> Iterator[Block]:
    gained, policy = record.gained, changed_policy(record.settings["policy"], more=False)
    if gained is None or gained < -_APART or policy is None:
        return
    held = f"{100 * abs(gained):.2f} points {'higher' if gained > 0 else 'lower'}" if gained else "the same"
    yield from _again(
        record,
        f"The accuracy is {held} with {record.share:.1%} of the parameters: there may be room for less",
        "smaller",
        policy=policy,
    )


def _faster(record: CompressionRecord) -> Iterator[Block]:
    ratio = record.time_ratio
    policy = faster_policy(record.settings["policy"], record.share)
    if ratio is not None and ratio > _SAME_TIME and policy is not None and record.compressed:
        yield from _again(
            record,
            f"The network takes {in_milliseconds(record.after.seconds)}, the dense one "
            f"{in_milliseconds(record.before.seconds)}: allow only ranks at which a layer is measured to be faster (a "
            "budget that they cannot reach is refused with the one that they can)",
            "faster",
            policy=policy,
        )


def _again(record: CompressionRecord, why: str, ending: str, **settings: str) -> Iterator[Block]:
    """The command with other settings, and another name for what it writes."""
    command = with_settings(record.command, output=f"{_stem(record)}-{ending}{_NETWORK}", **settings)
    yield Text(f"{why}:")
    yield Code(folded_command(command))


def _stem(record: CompressionRecord) -> str:
    return record.settings["output"].removesuffix(_NETWORK)


def with_settings(command: str, **settings: str) -> str:
    """A command line with some flags given anew.

    Example:
        >>> with_settings("rankfold compress a --policy 'budget params=0.5' --overwrite --seed 1", policy="evbmf")
        'rankfold compress a --seed 1 --policy evbmf'
    """
    flags = {f"--{name.replace('_', '-')}": value for name, value in settings.items()}
    kept, dropping = [], False
    for word in shlex.split(command):
        if word.startswith("--"):
            dropping = word in flags or word == "--overwrite"
        if not dropping:
            kept.append(word)
    return shlex.join([*kept, *(word for pair in flags.items() for word in pair)])


def _export(record: CompressionRecord, file: str) -> Iterator[Block]:
    failed = record.settings["export"]
    kind = {None: "onnx", "onnx": "torch"}.get(failed, "onnx")
    words = ["rankfold", "export", file, "--model", record.settings["model"], "--format", kind]
    if record.inputs and record.settings["model"] not in MODELS:
        words += ["--input-shape", *record.inputs]
    without = "Write a file that runs without this library"
    yield Text(f"{without}:" if failed is None else f"{without}, as {kind} where {failed} failed:")
    yield Code(folded_command(shlex.join(words)))
