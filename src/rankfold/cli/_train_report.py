"""What ``rankfold train`` says in the terminal."""

from contextlib import suppress

from rich.console import Console

from rankfold._errors import CheckpointError, RankfoldError
from rankfold.cli._report_training import read_training
from rankfold.cli._run_times import read_times
from rankfold.cli._training_run import TrainingRun
from rankfold.report import TrainingStatus, facts_table, layer_rows, layers_table, layouts_of, saved_share
from rankfold.report._quantities import short_milliseconds
from rankfold.report.page import trouble_of

__all__ = ["first_status", "ranks_of", "report_run"]


def first_status(run: TrainingRun) -> TrainingStatus:
    """What is known before the first batch."""
    return TrainingStatus(
        epochs=run.config.epochs,
        batches_per_epoch=run.data.batches_per_epoch,
        epoch=run.progress.epoch,
        batch=run.progress.batch,
        test_accuracy=run.metrics[-1]["test_accuracy"] if run.metrics else None,
        parameters=sum(parameter.numel() for parameter in run.model.parameters()),
        compression=saved_share(layer_rows(layouts_of(run.model))),
        ranks=ranks_of(run),
        seconds=run.seconds,
    )


def ranks_of(run: TrainingRun) -> dict[str, tuple[int, ...]]:
    """Ranks of the factorised layers."""
    return {row.name: row.ranks for row in layer_rows(layouts_of(run.model)) if row.ranks is not None}


def report_run(run: TrainingRun, seconds: float, console: Console) -> None:
    """Print what came of a run that is complete.

    Arguments:
        run: the run.
        seconds: spent on training it.
        console: where to.
    """
    rows = layer_rows(layouts_of(run.model))
    last = run.metrics[-1]
    dense = last["parameters"] + sum(row.parameters_before - row.parameters_after for row in rows)
    facts = {"test accuracy": f"{last['test_accuracy']:.2%}"}
    if rows:
        facts["compression"] = f"{last['compression']:.1%} fewer parameters in the factorised layers"
        facts["parameters"] = f"{last['parameters']:,} instead of {dense:,}"
    else:
        facts["parameters"] = f"{dense:,}"
    facts |= _speed(run)
    facts["time"] = f"{seconds:.1f} s"
    console.print(facts_table(f"{run.config.model} on {run.config.data}, {run.progress.epoch} epochs", facts))
    if rows:
        console.print(layers_table(rows))
    with suppress(RankfoldError):  # damaged by another hand; the page says how
        trouble = trouble_of(read_training(run.folder.path, run.folder.path.name))
        if trouble is not None:
            for sentence in (f"Look out: {trouble.what}", *trouble.remedies):
                console.print(sentence, soft_wrap=True)


def _speed(run: TrainingRun) -> dict[str, str]:
    try:
        times = read_times(run.folder, run.progress.epoch)
    except CheckpointError:  # damaged by another hand; the page says how
        return {}
    if times is None:
        return {}
    dense, now = map(short_milliseconds, times.network)
    return {"in use": f"{now} ms instead of {dense} ms for a batch of {times.batch} on {times.place}"}
