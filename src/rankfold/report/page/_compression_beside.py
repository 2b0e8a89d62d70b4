"""Several compressions side by side: one table, and what accuracy is had for which size and time."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rankfold._display import finite
from rankfold.report._quantities import count
from rankfold.report._tables import sizes
from rankfold.report.page._blocks import Cell, Line, LineChart, Quantity, Table
from rankfold.report.page._compression_record import CompressionRecord, NetworkCosts

__all__ = ["beside_table", "layers_beside", "trade_off_charts"]


@dataclass(frozen=True, slots=True)
class _Side:
    """One point: a dense network, or what became of it.

    Arguments:
        name, policy: in words.
        costs: of the network.
        change: of the outputs, None of a dense network.
        ratio: of the time to that of the dense network in the same run, None of a dense network.
    """

    name: str
    policy: str
    costs: NetworkCosts
    change: float | None = None
    ratio: float | None = None


def _sides(records: Sequence[CompressionRecord]) -> Iterator[_Side]:
    """Each dense network once, before the first compression of it."""
    seen = set()
    for record in records:
        dense = (record.settings["model"], record.settings["weights"])
        if dense not in seen:
            seen.add(dense)
            yield _Side(f"dense {dense[0]}", f"from {dense[1]}", record.before)
        yield _Side(
            record.name, record.settings["policy"], record.after, record.output_change, record.time_ratio
        )


def beside_table(records: Sequence[CompressionRecord]) -> Table:
    """One line per compression, and one per dense network."""
    rows: list[tuple[Cell, ...]] = [
        (
            side.name,
            side.policy,
            _percent(side.costs.accuracy),
            _percent(side.change),
            side.costs.parameters,
            Quantity(side.costs.flops, count(side.costs.flops)),
            1000 * side.costs.seconds,
            Quantity(side.ratio, "-" if side.ratio is None else f"{side.ratio:.1%}"),
            side.costs.bytes,
        )
        for side in _sides(records)
    ]
    columns = ("network", "policy", "accuracy", "outputs changed by", "parameters", "FLOPs per sample", "ms")
    places = dict.fromkeys(f"{record.samples_timed}, {record.place}" for record in records)
    return Table(
        caption="Compressions side by side",
        columns=(*columns, "of dense", "bytes"),
        rows=tuple(rows),
        note=f"Times for {' or '.join(places)}; of dense: over that of the dense network in the same run. Outputs: in "
        "norm, before any fine-tuning.",
    )


def _percent(share: float | None) -> Quantity:
    return Quantity(share, "-" if finite(share) is None else f"{share:.2%}")


def trade_off_charts(records: Sequence[CompressionRecord]) -> Iterator[LineChart]:
    """Accuracy, or where it is not known the change of the outputs, over parameters and over time: a point each."""
    sides = list(_sides(records))
    measured = [side for side in sides if side.costs.accuracy is not None]
    if measured:
        points = [(side, side.costs.accuracy) for side in measured]
        title, label = "Accuracy", "share of right answers"
    else:
        points = [(side, side.change) for side in sides if side.change is not None]
        title, label = "Change of the outputs", "relative norm, before any fine-tuning"
    if not points:
        return
    for against, unit, value in (
        ("parameters", "parameters", lambda side: float(side.costs.parameters)),
        ("time", "milliseconds", lambda side: 1000 * side.costs.seconds),
    ):
        order = sorted(range(len(points)), key=lambda place: value(points[place][0]))
        yield LineChart(
            title=f"{title} against {against}",
            description=f"A point for each network; the best are {'up' if measured else 'down'} and to the left.",
            x_label=unit,
            y_label=label,
            x=tuple(value(points[place][0]) for place in order),
            lines=tuple(
                Line(side.name, tuple(shown if at == place else None for at in order))
                for place, (side, shown) in enumerate(points)
            ),
            points=True,
        )


def layers_beside(records: Sequence[CompressionRecord]) -> Table | None:
    """Ranks and parameters of each layer in each compression; None where no record has layers."""
    names = list(dict.fromkeys(layer.name for record in records for layer in record.layers))
    if not names:
        return None
    layers = [{layer.name: layer for layer in record.layers} for record in records]
    rows = []
    for name in names:
        cells: list[Cell] = [name or "(the network)"]
        for known in layers:
            layer = known.get(name)
            ranks = "" if layer is None else sizes(layer.ranks) if layer.ranks else "dense"
            cells += [ranks, None if layer is None else layer.now.parameters]
        rows.append(tuple(cells))
    columns = [f"{record.name}: {what}" for record in records for what in ("ranks", "parameters")]
    return Table(caption="Layers side by side", columns=("layer", *columns), rows=tuple(rows))
