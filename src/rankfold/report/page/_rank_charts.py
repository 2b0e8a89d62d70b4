"""Where the rank is: ranks on their way, and spectra with the cut."""

from collections.abc import Iterator

from rankfold.report._tables import sizes
from rankfold.report.page._blocks import Block, Cell, Group, HeatMap, Line, LineChart, Mark, Table
from rankfold.report.page._training_record import LayerRecord, ModeSpectrum, RankChange, TrainingRecord

__all__ = ["LONG_SPECTRUM", "rank_blocks", "spectrum_blocks", "spectrum_places"]

_OPEN = 8  # layers up to which each is drawn at once; the charts of more are folded away
_LINES = 6  # layers up to which each has its line of errors; with the tolerance, as many as there are colours
_COLUMNS = 60  # of the map of ranks over time
#: Values from which on a spectrum has a logarithmic axis, so that the first ones are seen (choice of this library).
LONG_SPECTRUM = 50


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
    errors = _error_chart(changed, float(record.settings["tolerance"]))
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
        rows.append(name or "(the network)")
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


def _error_chart(changed: dict[str, tuple[RankChange, ...]], tolerance: float) -> LineChart | None:
    """Truncation error of each layer, or where they are many the largest, against the tolerance."""
    found = {
        name: {change.step: change.error for change in changes if change.error is not None}
        for name, changes in changed.items()
    }
    steps = sorted({step for errors in found.values() for step in errors})
    if not steps:
        return None
    few = len(found) <= _LINES
    if few:
        lines = [Line(name or "(the network)", _held(errors, steps)) for name, errors in found.items()]
    else:
        worst = [max(errors.get(step, 0.0) for errors in found.values()) for step in steps]
        lines = [Line("largest error", tuple(worst))]
    return LineChart(
        title="Truncation error",
        description="At each truncation that changed a rank, held until the layer's next; the tolerance may have risen "
        "to its full value first."
        if few
        else "The largest of all layers at each truncation that changed a rank.",
        x_label="optimiser step",
        y_label="cut, relative to the norm of the weight",
        x=tuple(float(step) for step in steps),
        lines=(*lines, Line("tolerance", (tolerance,) * len(steps))),
        steps=few,
    )


def _held(errors: dict[int, float], steps: list[int]) -> tuple[float | None, ...]:
    """The last value at each step, None before the first."""
    values: list[float | None] = []
    for step in steps:
        values.append(errors.get(step, values[-1] if values else None))
    return tuple(values)


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
    kept = layer.ranks or ()
    longest = max(
        *(spectrum_places(one, kept[one.mode] if kept else one.size) for one in layer.spectra),
        *(len(one.values) for one in others.values()),
        1,
    )
    for one in layer.spectra:
        name = f"mode {one.mode} of {one.size}"
        if kept:
            marks.append(Mark(float(kept[one.mode]), f"mode {one.mode} cut at {kept[one.mode]}", len(lines)))
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
        x_log=longest >= LONG_SPECTRUM,
        y_log=True,
        marks=tuple(marks),
    )


def spectrum_places(spectrum: ModeSpectrum, kept: int) -> int:
    """How many places the chart of a spectrum has: those of its values, and as many right of the cut, if there are."""
    return max(len(spectrum.values), min(spectrum.size, 2 * kept), 1)


def _relative(values: tuple[float, ...], longest: int) -> tuple[float | None, ...]:
    top = values[0] if values and values[0] > 0 else None
    shown = [value / top if top else None for value in values]
    return tuple(shown + [None] * (longest - len(shown)))
