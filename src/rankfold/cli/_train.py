"""``rankfold train``."""

import shlex

from rich.console import Console

from rankfold.cli._build import needs_closure
from rankfold.cli._console import make_console
from rankfold.cli._interrupt import Interrupted, StopRequest, stop_on_signal
from rankfold.cli._open_run import resume_run, start_run
from rankfold.cli._report import leave_page
from rankfold.cli._train_config import TrainConfig
from rankfold.cli._training_run import TrainingRun
from rankfold.report import (
    TrainingDisplay,
    TrainingStatus,
    facts_table,
    layer_rows,
    layers_table,
    layouts_of,
    saved_share,
)
from rankfold.training import Progress, fit

__all__ = ["train"]


def train(config: TrainConfig) -> None:
    """Run or go on with a training, and report.

    Arguments:
        config: checked settings; ``config.resume`` says whether to go on.

    Raises:
        RankfoldError: the run cannot be started or went wrong.
        Interrupted: someone asked to stop; the checkpoint is written.
    """
    console = make_console()
    run = start_run(config) if config.resume is None else resume_run(config)
    console.print(f"run folder: {run.folder.path}", soft_wrap=True)
    if run.complete:
        console.print(
            f"The run is complete, {run.progress.epoch} of {run.config.epochs} epochs; a larger --epochs goes on.",
            soft_wrap=True,
        )
    else:
        with stop_on_signal() as stop, TrainingDisplay(console, _first_status(run)) as display:
            _train(run, stop, display)
    missing = leave_page(run.folder.path, run.folder.path)
    _report(run, console)
    if missing is not None:
        console.print(missing, soft_wrap=True)


def _train(run: TrainingRun, stop: StopRequest, display: TrainingDisplay) -> None:
    def after_batch(progress: Progress, loss: float) -> None:
        display.update(
            batch=progress.batch,
            train_loss=progress.loss_sum / progress.seen,
            train_accuracy=progress.correct / progress.seen,
            seconds=run.seconds,
        )
        if stop.requested:
            run.save()
            raise Interrupted(_how_to_go_on(run))

    if run.progress == Progress():
        run.save()  # so that a run can be taken up again from its first batch on
    for metrics in fit(
        run.model,
        run.optimizer,
        run.data.batches,
        run.data.test,
        epochs=run.config.epochs,
        progress=run.progress,
        scheduler=run.scheduler,
        closure=needs_closure(run.config),
        after_batch=after_batch,
    ):
        line = run.end_epoch(metrics)
        display.update(
            epoch=run.progress.epoch,
            batch=0,
            test_accuracy=metrics.test_accuracy,
            parameters=line["parameters"],
            compression=line["compression"],
            ranks=_ranks(run),
        )
        if stop.requested and not run.complete:
            raise Interrupted(_how_to_go_on(run))


def _how_to_go_on(run: TrainingRun) -> str:
    return (
        f"interrupted in epoch {run.progress.epoch + 1} after batch {run.progress.batch}; "
        f"go on with: rankfold train --resume {shlex.quote(str(run.folder.path))}"
    )


def _first_status(run: TrainingRun) -> TrainingStatus:
    return TrainingStatus(
        epochs=run.config.epochs,
        batches_per_epoch=run.data.batches_per_epoch,
        epoch=run.progress.epoch,
        batch=run.progress.batch,
        test_accuracy=run.metrics[-1]["test_accuracy"] if run.metrics else None,
        parameters=sum(parameter.numel() for parameter in run.model.parameters()),
        compression=saved_share(layer_rows(layouts_of(run.model))),
        ranks=_ranks(run),
        seconds=run.seconds,
    )


def _ranks(run: TrainingRun) -> dict[str, tuple[int, ...]]:
    return {row.name: row.ranks for row in layer_rows(layouts_of(run.model)) if row.ranks is not None}


def _report(run: TrainingRun, console: Console) -> None:
    rows = layer_rows(layouts_of(run.model))
    last = run.metrics[-1]
    dense = last["parameters"] + sum(row.parameters_before - row.parameters_after for row in rows)
    facts = {"test accuracy": f"{last['test_accuracy']:.2%}"}
    if rows:
        facts["compression"] = f"{last['compression']:.1%} fewer parameters in the factorised layers"
        facts["parameters"] = f"{last['parameters']:,} instead of {dense:,}"
    else:
        facts["parameters"] = f"{dense:,}"
    facts["time"] = f"{run.seconds:.1f} s"
    console.print(facts_table(f"{run.config.model} on {run.config.data}, {run.progress.epoch} epochs", facts))
    if rows:
        console.print(layers_table(rows))
