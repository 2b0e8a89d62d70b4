"""The headline of training runs, and what to do next."""

from collections.abc import Iterator, Sequence

from rankfold.report._quantities import count
from rankfold.report._tables import sizes
from rankfold.report.page._blocks import Cell, Fact, Quantity, Table
from rankfold.report.page._numbers import duration, finite
from rankfold.report.page._training_record import TrainingRecord

__all__ = ["advice", "differing_settings", "runs_table", "training_facts", "twin_of"]

# Choices of this library.
_APART = 0.005  # accuracy within which two runs count as equal; half a point
_FALLING = 0.05  # share by which the loss of an epoch is below the one before, while it still learns
_MOST_KEPT = 0.9  # share of the parameters above which a layer is hardly smaller


def twin_of(records: Sequence[TrainingRecord]) -> TrainingRecord | None:
    """The dense run of the same network and data as the first factorised one; None where there is none."""
    main = next((record for record in records if not record.dense), None)
    if main is None:
        return None
    same = ("model", "data")
    return next(
        (
            record
            for record in records
            if record.dense and all(record.settings[name] == main.settings[name] for name in same)
        ),
        None,
    )


def training_facts(record: TrainingRecord, twin: TrainingRecord | None) -> tuple[Fact, ...]:
    """Accuracy, parameters, operations and time; beside them those of the dense run."""
    parameters, dense = record.parameters, record.parameters_dense
    facts = [
        Fact(
            name="test accuracy",
            value=_percent(record.last.get("test_accuracy")),
            twin=_percent(twin.last.get("test_accuracy")) if twin else "",
            note=f"after epoch {len(record.metrics)} of {record.settings['epochs']}",
        )
    ]
    if parameters is not None and dense is not None:
        note = "" if record.dense else f"{1 - parameters / dense:.1%} fewer than as dense layers"
        facts.append(
            Fact(
                name="parameters",
                value=f"{parameters:,}",
                twin="" if record.dense else f"{dense:,}" + ("" if twin else " dense"),
                note=note,
            )
        )
    flops = record.flops
    if flops is not None:
        facts.append(
            Fact(
                name="FLOPs per sample",
                value=count(flops[1]),
                twin="" if record.dense else count(flops[0]) + ("" if twin else " dense"),
                note="of the layers below, counted, not timed",
            )
        )
    facts.append(
        Fact(
            name="training time",
            value=duration(record.seconds),
            twin=duration(twin.seconds) if twin else "",
            note=f"{len(record.metrics)} epochs, evaluation apart",
        )
    )
    return tuple(facts)


def runs_table(records: Sequence[TrainingRecord]) -> Table:
    """One line per run."""
    rows: list[tuple[Cell, ...]] = []
    for record in records:
        flops = record.flops
        accuracy = finite(record.last.get("test_accuracy"))
        rows.append(
            (
                record.name,
                f"{record.settings['model']} on {record.settings['data']}",
                "dense" if record.dense else f"tolerance {record.settings['tolerance']:g}",
                Quantity(accuracy, _percent(accuracy)),
                finite(record.last.get("test_loss")),
                record.parameters,
                Quantity(flops[1], count(flops[1])) if flops else None,
                Quantity(record.seconds, f"{record.seconds:.1f}"),
                len(record.metrics),
            )
        )
    columns = (
        "run",
        "task",
        "form",
        "test accuracy",
        "test loss",
        "parameters",
        "FLOPs per sample",
        "seconds",
    )
    return Table(caption="Runs side by side", columns=(*columns, "epochs"), rows=tuple(rows))


def differing_settings(records: Sequence[TrainingRecord]) -> Table:
    """The settings in which runs differ; all of them for a single run."""
    names = dict.fromkeys(name for record in records for name in record.settings)
    rows = []
    for name in names:
        cells = [_word(record.settings.get(name)) for record in records]
        if len(records) == 1 or len(set(cells)) > 1:
            rows.append((name.replace("_", " "), *cells))
    caption = "Settings" if len(records) == 1 else "Settings in which the runs differ"
    header = ("value",) if len(records) == 1 else tuple(record.name for record in records)
    return Table(caption=caption, columns=("setting", *header), rows=tuple(rows))


def advice(record: TrainingRecord, twin: TrainingRecord | None, path: str) -> Iterator[str]:
    """What the numbers suggest, one sentence each, with the numbers they rest on.

    Arguments:
        record: the run.
        twin: the dense one, if there is one.
        path: folder of the run as it would be typed.
    """
    if not record.metrics:
        yield f"No epoch is complete yet; go on with: rankfold train --resume {path}"
        return
    if not record.complete:
        yield (
            f"{len(record.metrics)} of {record.settings['epochs']} epochs are done; go on with: rankfold train "
            f"--resume {path}"
        )
    losses = [finite(line.get("train_loss")) for line in record.metrics[-2:]]
    if None in losses or finite(record.last.get("test_loss")) is None:
        yield "The loss is no finite number any more: lower --learning-rate and start again."
        return
    if len(losses) == 2 and losses[0] and losses[1] is not None and losses[1] < losses[0] * (1 - _FALLING):
        yield (
            f"The training loss still fell in the last epoch, from {losses[0]:.4g} to {losses[1]:.4g}: more --epochs "
            "may help."
        )
    if record.dense:
        yield "This is the dense network; train the same without --dense and compare the two with rankfold report."
        return
    yield from _against(record, twin)
    capped = [name for name, changes in record.changes.items() if changes and changes[-1].capped]
    if capped:
        yield (
            f"The tolerance asked for more ranks than there were in {', '.join(capped[:3])}"
            f"{f' and {len(capped) - 3} more' if len(capped) > 3 else ''}: raise --max-rank or --tolerance."
        )
    large = [
        layer
        for layer in record.layers
        if layer.ranks and layer.parameters > _MOST_KEPT * layer.parameters_dense
    ]
    if large:
        yield (
            f"{large[0].name} has ranks {sizes(large[0].ranks or ())} and {large[0].parameters:,} of "
            f"{large[0].parameters_dense:,} parameters: hardly smaller than dense; a higher --tolerance would cut it."
        )


def _against(record: TrainingRecord, twin: TrainingRecord | None) -> Iterator[str]:
    if twin is None:
        yield (
            "There is no dense run beside this one: train it with the same words and --dense, then pass both folders "
            "to rankfold report."
        )
        return
    mine, its = (finite(one.last.get("test_accuracy")) for one in (record, twin))
    if mine is None or its is None:
        return
    apart = f"{mine:.2%} against {its:.2%} of the dense run"
    if mine < its - _APART:
        yield f"The accuracy is {apart}: a lower --tolerance keeps more ranks, more --epochs may do as well."
    else:
        yield f"The accuracy is {apart}: a higher --tolerance would give a smaller network."


def _percent(value: object) -> str:
    number = finite(value)
    return "-" if number is None else f"{number:.2%}"


def _word(value: object) -> str:
    return "not set" if value is None else str(value)
