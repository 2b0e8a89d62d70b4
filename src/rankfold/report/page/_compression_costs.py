"""What a compressed network costs, as a whole and layer by layer, dense against now."""

from collections.abc import Callable, Iterator, Sequence

from rankfold._checkpoint._words import some
from rankfold.report._quantities import count, milliseconds
from rankfold.report._tables import sizes
from rankfold.report.page._bar_chart import MOST_BARS
from rankfold.report.page._blocks import BarChart, Block, Cell, Line, Quantity, Table, Text
from rankfold.report.page._compression_facts import in_milliseconds
from rankfold.report.page._compression_record import CompressedLayerRecord, CompressionRecord

__all__ = ["cost_blocks", "largest_first"]

_SLOWER = 1.1  # time now over time before above which a layer is named as slower; choice of this library


def largest_first(layers: Sequence[CompressedLayerRecord]) -> tuple[list[CompressedLayerRecord], str]:
    """Layers in the order they are drawn in, and the sentence that says so where it is not that of the network."""
    if len(layers) <= MOST_BARS:
        return list(layers), ""
    return sorted(
        layers, key=lambda layer: -layer.dense.parameters
    ), " The layers with most parameters first."


def cost_blocks(record: CompressionRecord) -> Iterator[Block]:
    """Shares of the dense network that are left, then the layers: charts and a table."""
    shares = _shares(record)
    if shares:
        yield BarChart(
            title="What is left of the dense network",
            description="Each quantity of the compressed network over that of the dense one, which is 1.",
            label="quantity",
            value_label="share of the dense network",
            names=tuple(shares),
            bars=(Line("dense", (1.0,) * len(shares)), Line("now", tuple(shares.values()))),
        )
    if not record.layers:
        return
    yield from _times(record)
    layers, order = largest_first(record.layers)
    names = tuple(layer.title for layer in layers)
    for title, label, value in _QUANTITIES:
        pairs = [(value(layer, "dense"), value(layer, "now")) for layer in layers]
        if all(dense is None for dense, _ in pairs):
            continue
        yield BarChart(
            title=f"{title} of each layer",
            description=f"As a dense layer and as it is now.{order}",
            label="layer",
            value_label=label.format(samples=record.samples_timed),
            names=names,
            bars=(
                Line("dense", tuple(dense for dense, _ in pairs)),
                Line("now", tuple(now for _, now in pairs)),
            ),
        )
    yield _table(record)


def _shares(record: CompressionRecord) -> dict[str, float]:
    before, after = record.before, record.after
    pairs = {
        "parameters": (after.parameters, before.parameters),
        "FLOPs": (after.flops, before.flops),
        "time": (after.seconds, before.seconds),
        "bytes of the file": (after.bytes, before.bytes),
    }
    return {name: now / then for name, (now, then) in pairs.items() if then}


def _milliseconds(layer: CompressedLayerRecord, side: str) -> float | None:
    seconds = getattr(layer, side).seconds
    return None if seconds is None else 1000 * seconds


_Value = Callable[[CompressedLayerRecord, str], float | None]
_QUANTITIES: tuple[tuple[str, str, _Value], ...] = (
    ("Parameters", "parameters", lambda layer, side: getattr(layer, side).parameters),
    ("FLOPs per sample", "FLOPs", lambda layer, side: getattr(layer, side).flops),
    ("Time", "milliseconds for {samples}", _milliseconds),
)


def _times(record: CompressionRecord) -> Iterator[Block]:
    """How the times of the layers add up, and which layers became slower."""
    if not record.timed:
        yield Text("The layers were not timed one by one: the record is of an older version; compress again.")
        return
    pairs = [
        (layer, layer.dense.seconds, layer.now.seconds)
        for layer in record.layers
        if layer.dense.seconds is not None and layer.now.seconds is not None
    ]
    dense, now = sum(then for _, then, _ in pairs), sum(now for _, _, now in pairs)
    yield Text(
        f"Timed one by one, the layers below take {in_milliseconds(dense)} as dense layers and {in_milliseconds(now)} "
        f"now, of {in_milliseconds(record.before.seconds)} and {in_milliseconds(record.after.seconds)} that the whole "
        f"network takes ({record.samples_timed}, {record.place}); the rest is what lies between them."
    )
    slower = sorted(
        (pair for pair in pairs if pair[2] > _SLOWER * pair[1]), key=lambda pair: pair[1] - pair[2]
    )
    if slower:
        shown = [
            f"{layer.title} ({in_milliseconds(then)} dense, {in_milliseconds(now)} now)"
            for layer, then, now in slower
        ]
        yield Text(
            f"Slower than dense: {some(shown)}. A factorised layer is two or three smaller calls in the place of "
            "one, and each has its overhead."
        )


def _table(record: CompressionRecord) -> Table:
    columns = ["layer", "ranks", "parameters dense", "parameters now", "kept", "FLOPs dense", "FLOPs now"]
    timed = record.timed
    measured = f"Times for {record.samples_timed}, {record.place}. " if timed else ""
    return Table(
        caption="Costs of the layers",
        columns=(*columns, *(("ms dense", "ms now", "time kept") if timed else ())),
        rows=tuple(_row(layer, timed) for layer in record.layers),
        note="Parameters without biases. FLOPs per sample by PyTorch's counter, a multiplication with its addition as "
        f"two. {measured}Now: the plain layers that a factorised layer folds to; a dash where a layer is never called.",
    )


def _row(layer: CompressedLayerRecord, timed: bool) -> tuple[Cell, ...]:
    flops = [
        None if side.flops is None else Quantity(side.flops, count(side.flops))
        for side in (layer.dense, layer.now)
    ]
    cells: list[Cell] = [layer.title, sizes(layer.ranks) if layer.ranks else "dense"]
    cells += [layer.dense.parameters, layer.now.parameters]
    cells += [_share(layer.now.parameters, layer.dense.parameters), *flops]
    if timed:
        seconds = (layer.dense.seconds, layer.now.seconds)
        cells += [None if one is None else Quantity(one, milliseconds(one)) for one in seconds]
        cells.append(_share(layer.now.seconds, layer.dense.seconds))
    return tuple(cells)


def _share(now: float | None, dense: float | None) -> Quantity:
    share = now / dense if now is not None and dense else None
    return Quantity(share, "-" if share is None else f"{share:.1%}")
