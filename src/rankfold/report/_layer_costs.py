"""What the layers of a network cost, dense and in the form they have."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from rich.table import Table

from rankfold.report._quantities import count, milliseconds
from rankfold.report._tables import empty_table, plain, sizes

__all__ = ["Costs", "LayerCosts", "layer_costs_table", "network_costs_table"]


@dataclass(frozen=True, slots=True)
class Costs:
    """Of a layer or network.

    Arguments:
        parameters: numbers in it.
        flops: operations per sample by PyTorch's counter, or None where it is never called.
        seconds: per call, or None likewise.
    """

    parameters: int
    flops: int | None
    seconds: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerCosts:
    """One layer.

    Arguments:
        layer: its name.
        ranks: of a factorised layer, None of a dense one.
        dense: as a dense layer.
        folded: as the plain layers it folds to; the same for a dense layer.
    """

    layer: str
    ranks: tuple[int, ...] | None
    dense: Costs
    folded: Costs


def layer_costs_table(rows: Sequence[LayerCosts], place: str) -> Table:
    """Parameters, operations and time of each layer, dense and folded.

    Arguments:
        rows: the layers.
        place: samples per call, threads or device, in words.
    """
    table = empty_table(f"Layers, {place}")
    factorized = any(row.ranks is not None for row in rows)
    table.add_column("layer", overflow="fold")
    if factorized:
        table.add_column("ranks", no_wrap=True)
    for name in ("parameters", "FLOPs", "ms"):
        for form in (" dense", " folded") if factorized else ("",):
            table.add_column(f"{name}{form}", justify="right", no_wrap=True)
    for row in rows:
        cells = [plain(row.layer), *([sizes(row.ranks) if row.ranks else ""] if factorized else [])]
        pairs = zip(_shown(row.dense), _shown(row.folded), strict=True)
        for dense, folded in pairs:
            cells += [dense, folded if row.ranks else ""] if factorized else [dense]
        table.add_row(*cells)
    return table


def network_costs_table(title: str, sides: Iterable[tuple[str, Costs]], place: str) -> Table:
    """Parameters, operations and time of a whole network in one form or several.

    Arguments:
        title: stands above.
        sides: name and costs of each form.
        place: samples per call, threads or device, in words.
    """
    sides = tuple(sides)
    table = empty_table(title)
    table.add_column("", no_wrap=True)
    for name, _ in sides:
        table.add_column(name, justify="right", no_wrap=True)
    rows = zip(*(_shown(costs) for _, costs in sides), strict=True)
    for name, cells in zip(("parameters", "FLOPs per sample", f"ms, {place}"), rows, strict=True):
        table.add_row(name, *cells)
    return table


def _shown(costs: Costs) -> tuple[str, str, str]:
    return (
        f"{costs.parameters:,}",
        "-" if costs.flops is None else count(costs.flops),
        "-" if costs.seconds is None else milliseconds(costs.seconds),
    )
