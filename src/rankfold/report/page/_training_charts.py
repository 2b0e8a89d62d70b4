"""What a training run looks like: loss and accuracy, ranks on their way, spectra, costs of layers."""

from collections.abc import Iterator, Sequence

from rankfold.report._quantities import count
from rankfold.report._tables import sizes
from rankfold.report.page._blocks import (
    BarChart,
    Block,
    Cell,
    Group,
    HeatMap,
    Line,
    LineChart,
    Mark,
    Quantity,
    Table,
)
from rankfold.report.page._numbers import finite
from rankfold.report.page._training_record import LayerRecord, RankChange, TrainingRecord

__all__ = ["cost_blocks", "layers_beside", "learning_charts", "rank_blocks", "spectrum_blocks"]

_OPEN = 8  # layers up to which each is drawn at once; the charts of more are folded away
_COLUMNS = 60  # of the map of ranks over time


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
    """Parameters and operations of each layer, dense and now."""
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
        columns=columns,
        rows=tuple(_layer_row(name, layer) for name, layer in zip(names, record.layers, strict=True)),
        note="FLOPs per sample by PyTorch's counter, a multiplication with its addition as two; factorised layers in "
        "the plain form they fold to. Biases count as parameters. Times were not recorded.",
    )


def _layer_row(name: str, layer: LayerRecord) -> tuple[Cell, ...]:
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
    )


def rank_blocks(record: TrainingRecord) -> Iterator[Block]:
    """First and last ranks, and the way between them."""
    shapes = {layer.name: layer for layer in record.layers}
    changed = {name: changes for name, changes in record.changes.items() if changes}
    if not changed:
        return
    end = max(change.step for changes in changed.values() for change in changes)
    charts = [_rank_chart(name, changes, shapes.get(name), end) for name, changes in changed.items()]
    rows: list[tuple[Cell, ...]] = []
    for name, changes in changed.items():
        moved = sum(change.before != change.ranks for change in changes)
        layer = shapes.get(name)
        rows.append(
            (
                name,
                sizes(layer.shape) if layer else "",
                sizes(changes[0].before),
                sizes(changes[-1].ranks),
                moved,
                changes[-1].step,
                changes[-1].error,
                "yes" if changes[-1].capped else "no",
            )
        )
    table = Table(
        caption="Ranks at the start and at the end",
        columns=("layer", "full", "first", "last", "changes", "last change at step", "error of it", "capped"),
        rows=tuple(rows),
        note="Error: what the truncation cut, relative to the norm of the weight. Capped: the tolerance asked for "
        "more ranks than there were.",
    )
    if len(charts) <= _OPEN:
        yield from charts
        yield table
    else:
        yield _rank_map(changed, shapes, end)
        yield table
        yield Group(summary=f"Ranks of each of the {len(charts)} layers over time", blocks=tuple(charts))
    errors = _error_chart(changed)
    if errors is not None:
        yield errors


def _rank_chart(name: str, changes: tuple[RankChange, ...], layer: LayerRecord | None, end: int) -> LineChart:
    modes = layer.modes if layer and layer.modes else tuple(range(len(changes[-1].ranks)))
    steps = (0.0, *(float(change.step) for change in changes), float(end))
    held = (changes[0].before, *(change.ranks for change in changes), changes[-1].ranks)
    lines = tuple(
        Line(_mode_name(mode, layer), tuple(float(ranks[mode]) for ranks in held)) for mode in modes
    )
    return LineChart(
        title=name or "(the network)",
        description="Rank of each mode after each truncation that changed it.",
        x_label="optimiser step",
        y_label="rank",
        x=steps,
        lines=lines,
        steps=True,
    )


def _mode_name(mode: int, layer: LayerRecord | None) -> str:
    return f"mode {mode} of {layer.shape[mode]}" if layer else f"mode {mode}"


def _rank_map(
    changed: dict[str, tuple[RankChange, ...]], shapes: dict[str, LayerRecord], end: int
) -> HeatMap:
    """For many layers: share of the full rank, one row per layer, the largest mode of each."""
    places = sorted({round(at * end / (_COLUMNS - 1)) for at in range(_COLUMNS)})
    rows, values = [], []
    for name, changes in changed.items():
        layer = shapes.get(name)
        if layer is None or not layer.modes:
            continue
        mode = max(layer.modes, key=layer.shape.__getitem__)
        row, at = [], 0
        for place in places:
            while at < len(changes) and changes[at].step <= place:
                at += 1
            ranks = changes[at - 1].ranks if at else changes[0].before
            row.append(ranks[mode] / layer.shape[mode])
        rows.append(f"{name} mode {mode}")
        values.append(tuple(row))
    return HeatMap(
        title="Ranks over time",
        description=f"The largest mode of each layer, at {len(places)} evenly spread steps.",
        row_label="layer",
        column_label="optimiser step",
        value_label="rank as a share of the full rank",
        rows=tuple(rows),
        columns=tuple(float(place) for place in places),
        values=tuple(values),
    )


def _error_chart(changed: dict[str, tuple[RankChange, ...]]) -> LineChart | None:
    """Largest truncation error of any layer at each step."""
    worst: dict[int, float] = {}
    for changes in changed.values():
        for change in changes:
            if change.error is not None:
                worst[change.step] = max(change.error, worst.get(change.step, 0.0))
    if not worst:
        return None
    steps = sorted(worst)
    return LineChart(
        title="Truncation error",
        description="The largest of all layers at each truncation that changed a rank.",
        x_label="optimiser step",
        y_label="cut, relative to the norm of the weight",
        x=tuple(float(step) for step in steps),
        lines=(Line("largest error", tuple(worst[step] for step in steps)),),
    )


def spectrum_blocks(record: TrainingRecord, twin: TrainingRecord | None) -> Iterator[Block]:
    """Singular values of each mode of each layer, with the cut, and those of the dense run."""
    beside = {layer.name: layer for layer in twin.layers} if twin else {}
    charts = [_spectrum_chart(layer, beside.get(layer.name)) for layer in record.layers if layer.spectra]
    if len(charts) <= _OPEN:
        yield from charts
    else:
        yield Group(summary=f"Spectra of each of the {len(charts)} layers", blocks=tuple(charts))


def _spectrum_chart(layer: LayerRecord, beside: LayerRecord | None) -> LineChart:
    """Each spectrum relative to its largest value, so that layers and runs compare."""
    lines, marks = [], []
    others = {one.mode: one for one in beside.spectra} if beside and beside.shape == layer.shape else {}
    longest = max(one.size for one in (*layer.spectra, *others.values()))
    for one in layer.spectra:
        name = f"mode {one.mode} of {one.size}"
        if layer.ranks is not None:
            kept = layer.ranks[one.mode]
            marks.append(Mark(float(kept), f"mode {one.mode} cut at {kept}", len(lines)))
        lines.append(Line(name, _relative(one.values, longest)))
        if one.mode in others:
            lines.append(Line(f"{name}, dense run", _relative(others[one.mode].values, longest)))
    return LineChart(
        title=layer.name or "(the network)",
        description="Singular values of the weight, mode by mode, as shares of the largest; what lies right of the cut "
        "is not in the network."
        if marks
        else "Singular values of the weight as shares of the largest.",
        x_label="number of the singular value",
        y_label="singular value over the largest",
        x=tuple(float(place) for place in range(1, longest + 1)),
        lines=tuple(lines),
        y_log=True,
        marks=tuple(marks),
    )


def _relative(values: tuple[float, ...], longest: int) -> tuple[float | None, ...]:
    top = values[0] if values and values[0] > 0 else None
    shown = [value / top if top else None for value in values]
    return tuple(shown + [None] * (longest - len(shown)))


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
