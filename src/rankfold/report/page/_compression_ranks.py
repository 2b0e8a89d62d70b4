"""Where the rank of a compressed network is: ranks, errors, and spectra with the cut."""

from collections.abc import Iterator, Sequence
from math import prod

from rankfold._checkpoint._words import some
from rankfold._display import finite
from rankfold.report._tables import sizes
from rankfold.report.page._blocks import (
    BarChart,
    Block,
    Cell,
    Group,
    Items,
    Line,
    LineChart,
    Mark,
    Quantity,
    Table,
    Text,
)
from rankfold.report.page._compression_costs import largest_first
from rankfold.report.page._compression_record import CompressedLayerRecord, CompressionRecord

__all__ = ["rank_blocks"]

_OPEN = 8  # layers up to which each spectrum is drawn at once; more are folded away


def rank_blocks(record: CompressionRecord) -> Iterator[Block]:
    """Ranks and errors of what was compressed, why the rest was not, and all spectra."""
    if record.compressed:
        yield Text(
            "A weight has a mode for each of its axes; of a linear or convolution layer mode 0 are the outputs and "
            "mode 1 the inputs. A rank of 12 of 16 keeps 12 of the 16 directions that a mode has."
        )
        if record.samples:
            yield Text(
                "What was cut was chosen by what the calibration data make of each direction, so a cut need not lie "
                "where the spectrum of the weight falls, and the plain error may be large where the weighted one is "
                "small."
            )
        layers, order = largest_first(record.compressed)
        yield _kept_chart(layers, order)
        yield _error_chart(layers, order)
        yield _table(record.compressed)
    yield from _left_dense(record)
    charts = tuple(_spectrum_chart(layer) for layer in record.layers if layer.spectra)
    if len(charts) > _OPEN:
        yield Group(summary=f"Spectra of each of the {len(charts)} layers, with the cut", blocks=charts)
    elif charts:
        yield Text("Spectra of the dense weights, with the cut:")
        yield from charts
    else:
        yield Text(
            "The record holds no spectra: it is of an older version, or all weights are too large for that."
        )


def _full(layer: CompressedLayerRecord, mode: int) -> int:
    """The largest rank that a mode can have."""
    others = prod(layer.shape) // layer.shape[mode] if layer.shape[mode] else 0
    return min(layer.shape[mode], others)


def _modes(layers: Sequence[CompressedLayerRecord]) -> list[int]:
    return sorted({mode for layer in layers for mode in layer.modes})


def _kept_chart(layers: Sequence[CompressedLayerRecord], order: str) -> BarChart:
    def share(layer: CompressedLayerRecord, mode: int) -> float | None:
        if mode not in layer.modes:
            return 1.0 if mode < len(layer.shape) else None
        return layer.ranks[layer.modes.index(mode)] / max(_full(layer, mode), 1)

    return BarChart(
        title="Rank that is kept",
        description=f"Rank of each mode over its full rank; 1 where a mode was not cut.{order}",
        label="layer",
        value_label="share of the full rank",
        names=tuple(layer.title for layer in layers),
        bars=tuple(
            Line(f"mode {mode}", tuple(share(layer, mode) for layer in layers)) for mode in _modes(layers)
        ),
    )


def _error_chart(layers: Sequence[CompressedLayerRecord], order: str) -> BarChart:
    weighted = any(layer.weighted_error is not None for layer in layers)
    plain = Line("of the weight", tuple(layer.error for layer in layers))
    counted = Line("as far as it counts", tuple(layer.weighted_error for layer in layers))
    more = " Weighted: as far as it counts for the outputs, by calibration." if weighted else ""
    return BarChart(
        title="Truncation error",
        description="What each weight lost, relative to its norm (1 is everything), before any fine-tuning."
        f"{more}{order}",
        label="layer",
        value_label="relative error",
        names=tuple(layer.title for layer in layers),
        bars=(plain, counted) if weighted else (plain,),
    )


def _table(layers: Sequence[CompressedLayerRecord]) -> Table:
    modes = _modes(layers)
    weighted = any(layer.weighted_error is not None for layer in layers)
    rows: list[tuple[Cell, ...]] = []
    for layer in layers:
        cells: list[Cell] = [layer.title, layer.kind, sizes(layer.shape)]
        for mode in modes:
            if mode in layer.modes:
                rank, full = layer.ranks[layer.modes.index(mode)], _full(layer, mode)
                cells.append(Quantity(rank / max(full, 1), f"{rank} of {full}"))
            else:
                known = mode < len(layer.shape)
                cells.append(Quantity(1.0, f"all {_full(layer, mode)}") if known else None)
        cells += [finite(layer.error), *([finite(layer.weighted_error)] if weighted else [])]
        rows.append(tuple(cells))
    columns = ("layer", "kind", "shape", *(f"rank of mode {mode}" for mode in modes), "error")
    counted = " Weighted error: as far as it counts for the outputs, by calibration." if weighted else ""
    return Table(
        caption="Ranks of the compressed layers",
        columns=(*columns, "weighted error") if weighted else columns,
        rows=tuple(rows),
        note=f"Error: what the weight lost, relative to its norm, before any fine-tuning.{counted}",
    )


def _left_dense(record: CompressionRecord) -> Iterator[Block]:
    """The layers without ranks, together by reason."""
    names: dict[str, list[str]] = {}
    for layer in record.layers:
        if layer.reason is not None:
            names.setdefault(layer.reason, []).append(layer.title)
    if not names:
        return
    count = sum(map(len, names.values()))
    yield Text(f"Left as {'it was' if count == 1 else 'they were'}, {count} of {len(record.layers)} layers:")
    yield Items(tuple(f"{some(found, 12)}: {reason}." for reason, found in names.items()))


def _spectrum_chart(layer: CompressedLayerRecord) -> LineChart:
    """Each spectrum relative to its largest value, so that layers compare."""
    lines, marks = [], []
    cuts = dict(zip(layer.modes, layer.ranks, strict=True))
    matrix = len(layer.shape) == 2  # its two spectra are one
    for one in layer.spectra:
        top = one.values[0] if one.values and one.values[0] > 0 else None
        values = [value / top if top else None for value in one.values]
        kept = min(layer.ranks, default=None) if matrix else cuts.get(one.mode)
        name = f"both modes, {one.size}" if matrix else f"mode {one.mode} of {one.size}"
        if kept is not None:
            marks.append(Mark(float(kept), f"cut at {kept} of {one.size}", len(lines)))
        lines.append(Line(name, tuple(values + [None] * (len(layer.places) - len(values)))))
    state = "what lies right of a cut was left out" if marks else "the layer was left as it was"
    return LineChart(
        title=layer.title,
        description=f"Singular values of the dense weight as shares of the largest; {state}.",
        x_label="number of the singular value",
        y_label="singular value over the largest",
        x=tuple(map(float, layer.places)),
        lines=tuple(lines),
        y_log=True,
        marks=tuple(marks),
    )
