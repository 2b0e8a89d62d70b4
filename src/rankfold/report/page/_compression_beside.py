"""Several compressions side by side: one table, and what accuracy is had for which size and time."""

from collections.abc import Iterator, Sequence

from rankfold._display import finite
from rankfold.report._quantities import count
from rankfold.report._tables import sizes
from rankfold.report.page._blocks import Cell, Line, LineChart, Quantity, Table
from rankfold.report.page._compression_record import CompressionRecord, NetworkCosts

__all__ = ["beside_table", "layers_beside", "trade_off_charts"]


def _sides(records: Sequence[CompressionRecord]) -> Iterator[tuple[str, str, NetworkCosts, float | None]]:
    """Names, policies and costs: each dense network once, before the first compression of it."""
    seen = set()
    for record in records:
        dense = (record.settings["model"], record.settings["weights"])
        if dense not in seen:
            seen.add(dense)
            yield f"dense {dense[0]}", f"from {dense[1]}", record.before, None
        yield record.name, record.settings["policy"], record.after, record.output_change


def beside_table(records: Sequence[CompressionRecord]) -> Table:
    """One line per compression, and one per dense network."""
    rows: list[tuple[Cell, ...]] = []
    for name, policy, side, change in _sides(records):
        accuracy = side.accuracy
        rows.append(
            (
                name,
                policy,
                Quantity(accuracy, "-" if accuracy is None else f"{accuracy:.2%}"),
                Quantity(change, "-" if finite(change) is None else f"{change:.2%}"),
                side.parameters,
                Quantity(side.flops, count(side.flops)),
                1000 * side.seconds,
                side.bytes,
            )
        )
    places = dict.fromkeys(f"{record.samples_timed}, {record.place}" for record in records)
    return Table(
        caption="Compressions side by side",
        columns=(
            "network",
            "policy",
            "accuracy",
            "outputs changed by",
            "parameters",
            "FLOPs per sample",
            "ms",
            "bytes",
        ),
        rows=tuple(rows),
        note=f"Times for {' or '.join(places)}. Outputs: in norm, before any fine-tuning.",
    )


def trade_off_charts(records: Sequence[CompressionRecord]) -> Iterator[LineChart]:
    """Accuracy, or where it is not known the change of the outputs, over parameters and over time: a point each."""
    sides = list(_sides(records))
    measured = [one for one in sides if one[2].accuracy is not None]
    if measured:
        points = [(name, side, side.accuracy) for name, _, side, _ in measured]
        title, label = "Accuracy", "share of right answers"
    else:
        points = [(name, side, change) for name, _, side, change in sides if change is not None]
        title, label = "Change of the outputs", "relative norm, before any fine-tuning"
    if not points:
        return
    for against, unit, value in (
        ("parameters", "parameters", lambda side: float(side.parameters)),
        ("time", "milliseconds", lambda side: 1000 * side.seconds),
    ):
        order = sorted(range(len(points)), key=lambda place: value(points[place][1]))
        yield LineChart(
            title=f"{title} against {against}",
            description=f"A point for each network; the best are {'up' if measured else 'down'} and to the left.",
            x_label=unit,
            y_label=label,
            x=tuple(value(points[place][1]) for place in order),
            lines=tuple(
                Line(name, tuple(shown if at == place else None for at in order))
                for place, (name, _, shown) in enumerate(points)
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
