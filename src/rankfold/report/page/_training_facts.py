"""The headline of training runs, and what tells them apart."""

from collections.abc import Sequence

from rankfold._display import duration, finite
from rankfold.report._quantities import count
from rankfold.report.page._blocks import Cell, Fact, Quantity, Table
from rankfold.report.page._training_record import TrainingRecord
from rankfold.report.page._training_times import network_time, time_facts

__all__ = ["differing_settings", "epochs_done", "fall_of", "runs_table", "training_facts", "twin_of"]

_FALLEN = (
    0.05  # accuracy by which the last epoch is below the best, where something went wrong; a choice of ours
)


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


def epochs_done(record: TrainingRecord) -> str:
    """How many epochs of how many."""
    return f"{len(record.metrics):,} of {record.settings['epochs']:,} epochs"


def fall_of(record: TrainingRecord) -> str | None:
    """That the network is worse than it was, with the numbers; None where it is not."""
    found = [
        (finite(line.get("test_accuracy")) or 0.0, epoch) for epoch, line in enumerate(record.metrics, 1)
    ]
    if not found:
        return None
    (best, epoch), (last, _) = max(found, key=lambda pair: pair[0]), found[-1]
    if best - last < _FALLEN:
        return None
    return f"the test accuracy was {best:.2%} after epoch {epoch:,} and is {last:.2%} now"


def training_facts(record: TrainingRecord, twin: TrainingRecord | None) -> tuple[Fact, ...]:
    """Accuracy, parameters, operations and time; beside them those of the dense run."""
    parameters, dense = record.parameters, record.parameters_dense
    facts = [
        Fact(
            name="test accuracy",
            value=_percent(record.last.get("test_accuracy")),
            twin=_percent(twin.last.get("test_accuracy")) if twin else "",
            note=f"after {epochs_done(record)}",
        )
    ]
    if parameters is not None and dense is not None:
        note = "" if record.dense or dense < 1 else f"{1 - parameters / dense:.1%} fewer than as dense layers"
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
                note="of the layers below, counted",
            )
        )
    facts += time_facts(record)
    facts.append(
        Fact(
            name="training time",
            value=duration(record.seconds),
            twin=duration(twin.seconds) if twin else "",
            note=f"{len(record.metrics):,} epochs, evaluation apart",
        )
    )
    return tuple(facts)


def runs_table(records: Sequence[TrainingRecord]) -> Table:
    """One line per run."""
    timed = any(record.times for record in records)
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
                *([network_time(record)] if timed else []),
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
    columns = (*columns, "epochs", *(["ms of the network"] if timed else []))
    return Table(caption="Runs side by side", columns=columns, rows=tuple(rows))


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


def _percent(value: object) -> str:
    number = finite(value)
    return "-" if number is None else f"{number:.2%}"


def _word(value: object) -> str:
    return "not set" if value is None else str(value)
