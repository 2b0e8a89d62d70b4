"""From words to the settings of a command."""

import io
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext, redirect_stderr
from dataclasses import fields
from typing import Annotated, Any

import tyro

from rankfold._display import one_line, visible
from rankfold._errors import OptionError
from rankfold.cli._bench_layer_config import BenchLayerConfig, checked_bench
from rankfold.cli._check_config import checked
from rankfold.cli._compress_config import CompressConfig, checked_compress
from rankfold.cli._decompose_config import DecomposeConfig, checked_decompose
from rankfold.cli._export_config import ExportConfig, checked_export
from rankfold.cli._inspect_config import InspectConfig, checked_inspect
from rankfold.cli._report_config import ReportConfig, checked_report
from rankfold.cli._run_folder import RunFolder
from rankfold.cli._study_config import StudyConfig, checked_study
from rankfold.cli._train_config import TrainConfig

__all__ = ["parse"]

Command = (
    TrainConfig
    | CompressConfig
    | InspectConfig
    | BenchLayerConfig
    | DecomposeConfig
    | ExportConfig
    | StudyConfig
    | ReportConfig
)

# What may change when a run is taken up again: none of it changes what has been trained so far.
_MAY_CHANGE = (
    "epochs",
    "threads",
    "data_dir",
    "device",
    "resume",
    "keep",
    "checkpoint_every",
    "watch",
    "tensorboard",
    "diagnose",
)


def parse(argv: Sequence[str]) -> Command:
    """Read the words of a command line.

    Arguments:
        argv: the words after ``rankfold``.

    Returns:
        The settings of the command, checked; with ``--resume`` those of the stored run.

    Raises:
        OptionError: a setting out of range, or one that contradicts the stored run.
        CheckpointError: the run to resume cannot be read.
        SystemExit: after ``--help``, and for words that tyro cannot read.
    """
    command = _parsed(argv, TrainConfig())
    if isinstance(command, BenchLayerConfig):
        return checked_bench(command)
    if isinstance(command, DecomposeConfig):
        return checked_decompose(command)
    if isinstance(command, CompressConfig):
        return checked_compress(command)
    if isinstance(command, InspectConfig):
        return checked_inspect(command)
    if isinstance(command, ExportConfig):
        return checked_export(command)
    if isinstance(command, StudyConfig):
        return checked_study(command)
    if isinstance(command, ReportConfig):
        return checked_report(command)
    if command.resume is None:
        return checked(command)
    stored = RunFolder(command.resume).read_config()
    # Read the same words once more over the stored settings: what differs then was given and contradicts them.
    command = _parsed(argv, stored)
    assert isinstance(command, TrainConfig)
    for field in fields(TrainConfig):
        given, kept = getattr(command, field.name), getattr(stored, field.name)
        if given != kept and field.name not in _MAY_CHANGE:
            flag = field.name.replace("_", "-")
            raise OptionError(
                f"train: --{flag} {given} contradicts the run {command.resume}, which has {kept}; with --resume "
                "only --epochs, --threads, --data-dir, --device, --keep, --checkpoint-every, --watch, --tensorboard "
                "and --diagnose may be given, so leave it out or start a new run."
            )
    return checked(command)


def _parsed(argv: Sequence[str], defaults: TrainConfig) -> Command:
    train = Annotated[TrainConfig, tyro.conf.subcommand("train", default=defaults, prefix_name=False)]
    inspect = Annotated[InspectConfig, tyro.conf.subcommand("inspect", prefix_name=False)]
    bench_layer = Annotated[BenchLayerConfig, tyro.conf.subcommand("bench-layer", prefix_name=False)]
    decompose = Annotated[DecomposeConfig, tyro.conf.subcommand("decompose", prefix_name=False)]
    compress = Annotated[CompressConfig, tyro.conf.subcommand("compress", prefix_name=False)]
    export = Annotated[ExportConfig, tyro.conf.subcommand("export", prefix_name=False)]
    study = Annotated[StudyConfig, tyro.conf.subcommand("study", prefix_name=False)]
    report = Annotated[ReportConfig, tyro.conf.subcommand("report", prefix_name=False)]
    commands: Any = train | compress | export | decompose | inspect | bench_layer | study | report  # pyright: ignore[reportOperatorIssue]
    hidden = any(one_line(word) != word for word in argv)
    with _visible_refusals() if hidden else nullcontext():
        return tyro.cli(
            commands,
            prog="rankfold",
            description="Train networks in low-rank form, compress and export them, decompose tensors, inspect files, "
            "time layers, run studies, make pages of runs.",
            args=list(argv),
        )


@contextmanager
def _visible_refusals() -> Iterator[None]:
    """What is written to stderr in the block, such as words that tyro refuses, without what a terminal would obey."""
    written = io.StringIO()
    try:
        with redirect_stderr(written):
            yield
    finally:
        sys.stderr.write(visible(written.getvalue()))
