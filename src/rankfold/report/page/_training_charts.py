"""What a training run looks like: loss and accuracy, and the costs of its layers."""

from collections.abc import Iterator, Sequence

from rankfold._display import finite
from rankfold.report._quantities import count
from rankfold.report._tables import sizes
from rankfold.report.page._blocks import BarChart, Block, Cell, Line, LineChart, Quantity, Table
from rankfold.report.page._training_record import LayerRecord, TimesRecord, TrainingRecord
from rankfold.report.page._training_times import TIME_COLUMNS, time_cells, time_chart, times_note

__all__ = ["cost_blocks", "layers_beside", "learning_charts"]


def learning_charts(records: Sequence[TrainingRecord]) -> tuple[Block, ...]:
    """Loss and accuracy per epoch; of one run on training and test set, of several on the test set."""
    longest = max(len(record.metrics) for record in records)
    if not longest:
        return ()
    epochs = tuple(float(epoch) for epoch in range(1, longest + 1))

    def line(name: str, record: TrainingRecord, key: str) -> Line:
        known = [finite(entry.get(key)) for entry in record.metrics]
        return Line(name, tuple(known + [None] * (longest - len(known))))

    if len(records) == 1:
        kinds = [("training", "train"), ("test", "test")]
        loss = tuple(line(name, records[0], f"{key}_loss") for name, key in kinds)
        accuracy = tuple(line(name, records[0], f"{key}_accuracy") for name, key in kinds)
        of = "on training and test set"
    else:
        loss = tuple(line(record.name, record, "test_loss") for record in records)
        accuracy = tuple(line(record.name, record, "test_accuracy") for record in records)
        of = "on the test set, one line per run"
    positive = all(value is None or value > 0 for one in loss for value in one.values)
    return (
        LineChart(
            title="Loss",
            description=f"Mean cross-entropy after each epoch, {of}.",
            x_label="epoch",
            y_label="cross-entropy in nats",
            x=epochs,
            lines=loss,
            y_log=positive,
        ),
        LineChart(
            title="Accuracy",
            description=f"Share of right answers after each epoch, {of}.",
            x_label="epoch",
            y_label="share of right answers",
            x=epochs,
            lines=accuracy,
        ),
        *(_parameters_charts(records, epochs)),
    )


def _parameters_charts(records: Sequence[TrainingRecord], epochs: tuple[float, ...]) -> Iterator[LineChart]:
    if all(record.dense for record in records):
        return
    lines = []
    for record in records:
        known = [finite(entry.get("parameters")) for entry in record.metrics]
        lines.append(Line(record.name, tuple(known + [None] * (len(epochs) - len(known)))))
    yield LineChart(
        title="Parameters",
        description="Numbers in the whole network after each epoch.",
        x_label="epoch",
        y_label="parameters",
        x=epochs,
        lines=tuple(lines),
    )


def cost_blocks(record: TrainingRecord) -> Iterator[Block]:
    """Parameters, operations and measured time of each layer, dense and now."""
    if not record.layers:
        return
    names = tuple(layer.name or "(the network)" for layer in record.layers)
    for title, label, pairs in (
        ("Parameters", "parameters", [(one.parameters_dense, one.parameters) for one in record.layers]),
        ("FLOPs per sample", "FLOPs", [(one.flops_dense, one.flops) for one in record.layers]),
    ):
        if all(dense is None for dense, _ in pairs):
            continue
        now = () if record.dense else (Line("now", tuple(now for _, now in pairs)),)
        yield BarChart(
            title=f"{title} of each layer",
            description="As a dense layer and as it is now." if now else "Of the dense layers.",
            label="layer",
            value_label=label,
            names=names,
            bars=(Line("dense", tuple(dense for dense, _ in pairs)), *now),
        )
    chart = time_chart(record, names)
    if chart is not None:
        yield chart
    columns = (
        "layer",
        "kind",
        "shape",
        "ranks",
        "parameters dense",
        "now",
        "share",
        "FLOPs dense",
        "FLOPs now",
    )
    yield Table(
        caption="Layers",
        columns=(*columns, *(TIME_COLUMNS if record.times else ())),
        rows=tuple(
            _layer_row(name, layer, record.times) for name, layer in zip(names, record.layers, strict=True)
        ),
        note="FLOPs per sample by PyTorch's counter, a multiplication with its addition as two; factorised layers in "
        f"the plain form they fold to. Biases count as parameters. {times_note(record.times)}",
    )


def _layer_row(name: str, layer: LayerRecord, times: TimesRecord | None) -> tuple[Cell, ...]:
    share = layer.parameters / layer.parameters_dense if layer.parameters_dense else None
    flops = [
        None if value is None else Quantity(value, count(value)) for value in (layer.flops_dense, layer.flops)
    ]
    return (
        name,
        layer.kind,
        sizes(layer.shape),
        "dense" if layer.ranks is None else sizes(layer.ranks),
        layer.parameters_dense,
        layer.parameters,
        Quantity(share, "-" if share is None else f"{share:.1%}"),
        *flops,
        *(time_cells(times, layer.name) if times else ()),
    )


def layers_beside(records: Sequence[TrainingRecord]) -> Table | None:
    """Ranks and parameters of each layer in each run; None where runs have no layers."""
    names = list(dict.fromkeys(layer.name for record in records for layer in record.layers))
    if not names:
        return None
    columns = [f"{record.name}: {what}" for record in records for what in ("ranks", "parameters")]
    rows = []
    for name in names:
        cells: list[Cell] = [name]
        for record in records:
            layer = next((one for one in record.layers if one.name == name), None)
            cells.append("" if layer is None else "dense" if layer.ranks is None else sizes(layer.ranks))
            cells.append(None if layer is None else layer.parameters)
        rows.append(tuple(cells))
    return Table(caption="Layers side by side", columns=("layer", *columns), rows=tuple(rows))
