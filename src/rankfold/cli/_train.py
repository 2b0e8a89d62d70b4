"""``rankfold train``."""

import shlex
import signal
from contextlib import ExitStack, suppress

from rich.console import Console

from rankfold._checkpoint._words import brief
from rankfold._errors import RankfoldError
from rankfold.cli._build import needs_closure
from rankfold.cli._console import make_console
from rankfold.cli._curves import Curves
from rankfold.cli._interrupt import Interrupted, code_of_stop
from rankfold.cli._open_run import resume_run, start_run
from rankfold.cli._report import PAGE
from rankfold.cli._run_page import RunPage
from rankfold.cli._run_times import measure_times
from rankfold.cli._train_config import TrainConfig
from rankfold.cli._train_report import first_status, ranks_of, report_run
from rankfold.cli._training_run import TrainingRun
from rankfold.report import StagesDisplay, TrainingDisplay
from rankfold.training import Progress, StopRequest, fit, stop_on_signal
from rankfold.training._tensorboard_log import require_tensorboard

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
    if config.tensorboard:
        require_tensorboard("train")  # before anything is made

    def tell(sentence: str) -> None:
        console.print(sentence, soft_wrap=True)

    with stop_on_signal(signal.SIGTERM) as stop:
        run = start_run(config) if config.resume is None else resume_run(config, tell)
        tell(f"run folder: {run.folder.path}")
        _train_and_report(run, stop, RunPage(run, tell), console)


def _train_and_report(run: TrainingRun, stop: StopRequest, page: RunPage, console: Console) -> None:
    if run.complete:
        console.print(
            f"The run is complete, {run.progress.epoch} of {run.config.epochs} epochs; a larger --epochs goes on.",
            soft_wrap=True,
        )
    else:
        _supervised(run, stop, page, console)
    seconds = run.seconds
    _measure(run, stop, console)
    page.finish()
    report_run(run, seconds, console)


def _supervised(run: TrainingRun, stop: StopRequest, page: RunPage, console: Console) -> None:
    """Train where it can be watched and stopped; whatever ends it early, the folder says so."""
    for file in (run.folder.failure, run.folder.times):
        file.unlink(missing_ok=True)  # of an earlier end
    try:
        with ExitStack() as stack:
            stack.enter_context(stop.listen(signal.SIGINT))
            display = stack.enter_context(TrainingDisplay(console, first_status(run)))
            curves = stack.enter_context(Curves(run)) if run.config.tensorboard else None
            if run.progress == Progress():
                if not run.diagnosed:
                    run.diagnose()
                run.save()  # so that a run can be taken up again from its first batch on
            if stop.requested:
                raise _interrupted(run, stop)
            if run.config.watch:
                page.refresh()
                if (run.folder.path / PAGE).is_file():
                    console.print(
                        f"page, which follows the training: {run.folder.path / PAGE}", soft_wrap=True
                    )
            _train(run, stop, display, page, curves)
    except Interrupted:
        page.finish()
        raise
    except KeyboardInterrupt:  # at once, but not with a page that waits for more
        if run.config.watch:
            page.finish()
        raise
    except Exception as error:
        with suppress(RankfoldError):  # what went wrong first is what is told
            run.folder.write_record(
                run.folder.failure,
                {"epoch": run.progress.epoch + 1, "kind": type(error).__name__, "sentence": str(error)},
            )
        page.finish()
        raise


def _train(
    run: TrainingRun, stop: StopRequest, display: TrainingDisplay, page: RunPage, curves: Curves | None
) -> None:
    def after_batch(progress: Progress, loss: float) -> None:
        display.update(
            batch=progress.batch,
            train_loss=progress.loss_sum / progress.seen,
            train_accuracy=progress.correct / progress.seen,
            seconds=run.seconds,
        )
        if curves is not None:
            curves.add_batch(loss)
        every = run.config.checkpoint_every
        if stop.requested or (every is not None and progress.batch % every == 0):
            run.save()
        if stop.requested:
            raise _interrupted(run, stop)

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
        if curves is not None:
            curves.add_epoch(line)
        display.update(
            epoch=run.progress.epoch,
            batch=0,
            test_accuracy=metrics.test_accuracy,
            parameters=line["parameters"],
            compression=line["compression"],
            ranks=ranks_of(run),
        )
        if run.complete:
            break
        if stop.requested:
            raise _interrupted(run, stop)
        if run.config.watch:
            page.refresh()


def _interrupted(run: TrainingRun, stop: StopRequest) -> Interrupted:
    config = run.config
    flags = "".join(f" --{name}" for name in ("watch", "tensorboard", "diagnose") if getattr(config, name))
    if config.keep != TrainConfig.keep:
        flags += f" --keep {config.keep}"
    if config.checkpoint_every is not None:
        flags += f" --checkpoint-every {config.checkpoint_every}"
    return Interrupted(
        f"interrupted in epoch {run.progress.epoch + 1} after batch {run.progress.batch}; "
        f"go on with: rankfold train --resume {shlex.quote(str(run.folder.path))}{flags}",
        code_of_stop(stop),
    )


def _measure(run: TrainingRun, stop: StopRequest, console: Console) -> None:
    """Time what was trained, unless that is known; a run that is complete does not fail for it."""
    if run.config.dense or run.folder.times.is_file():
        return
    try:
        with StagesDisplay(console) as display:

            def show(what: str, done: int, count: int | None) -> None:
                if stop.requested:
                    raise KeyboardInterrupt
                display.show(what, done, count)

            measure_times(run, show)
        return
    except RankfoldError as error:
        reason = str(error)
    except Exception as error:
        reason = f"{type(error).__name__}: {brief(error)}."
    except KeyboardInterrupt:
        reason = "interrupted."
    console.print(f"no times of the layers: {reason}", soft_wrap=True)
