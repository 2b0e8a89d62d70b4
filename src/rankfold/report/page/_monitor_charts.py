"""What a monitor saw of every layer over a training, quantity by quantity."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rankfold.diagnostics import LayerState
from rankfold.report.page._blocks import Block, HeatMap, Line, LineChart, Text

__all__ = ["monitor_blocks"]

_LINES = 7  # layers up to which each has its line, as many as there are colours


@dataclass(frozen=True, slots=True)
class _Quantity:
    """One number of a :class:`LayerState`, and how it is shown."""

    name: str
    title: str
    description: str
    label: str
    y_log: bool = False


_QUANTITIES = (
    _Quantity(
        "update_rank",
        "Rank of what has changed",
        "The smallest rank that holds 99 % of the squared norm of the change since the start; an adapter of that "
        "rank could hold it.",
        "rank",
    ),
    _Quantity(
        "rank",
        "Rank of the weights",
        "The smallest rank that holds 99 % of the squared norm of the weight itself.",
        "rank",
    ),
    _Quantity(
        "stable_rank",
        "Stable rank",
        "Squared norm over the square of the largest singular value.",
        "stable rank",
    ),
    _Quantity(
        "movement",
        "Movement",
        "Norm of the change since the start over the norm at the start; near 0 the training is lazy.",
        "relative distance",
    ),
    _Quantity(
        "curvature",
        "Curvature of the loss",
        "The largest spectral norm of the Hessian along a parameter of the layer, on a fixed batch; plain descent "
        "needs a learning rate below twice its inverse.",
        "spectral norm",
        y_log=True,
    ),
    _Quantity(
        "imbalance",
        "Imbalance of factors",
        "Of layers whose bases are not kept orthonormal: 0 where both factors share the size of the weight evenly.",
        "from 0 to 1",
    ),
)


def monitor_blocks(states: Sequence[LayerState]) -> Iterator[Block]:
    """A chart for each quantity that was seen, with a line per layer, or of many layers a map.

    Arguments:
        states: in the order of the steps.
    """
    if not states:
        return
    steps = sorted({state.step for state in states})
    layers = list(dict.fromkeys(state.layer for state in states))
    yield Text(
        f"{len(layers)} {'layer' if len(layers) == 1 else 'layers'}, looked at {len(steps)} "
        f"{'time' if len(steps) == 1 else 'times'}, from step {steps[0]:,} to step {steps[-1]:,}."
    )
    for quantity in _QUANTITIES:
        seen = {(state.layer, state.step): getattr(state, quantity.name) for state in states}
        rows = {layer: tuple(seen.get((layer, step)) for step in steps) for layer in layers}
        rows = {layer: row for layer, row in rows.items() if any(value is not None for value in row)}
        if rows:
            yield _chart(quantity, steps, rows)


def _chart(
    quantity: _Quantity, steps: list[int], rows: dict[str, tuple[float | None, ...]]
) -> LineChart | HeatMap:
    places = tuple(float(step) for step in steps)
    names = tuple(layer or "(the network)" for layer in rows)
    if len(rows) > _LINES:
        return HeatMap(
            title=quantity.title,
            description=quantity.description,
            row_label="layer",
            column_label="optimiser step",
            value_label=quantity.label,
            rows=names,
            columns=places,
            values=tuple(rows.values()),
        )
    return LineChart(
        title=quantity.title,
        description=quantity.description,
        x_label="optimiser step",
        y_label=quantity.label,
        x=places,
        lines=tuple(Line(name, row) for name, row in zip(names, rows.values(), strict=True)),
        y_log=quantity.y_log,
        points=len(places) == 1,
    )
