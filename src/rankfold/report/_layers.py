"""The factorised layers of a model or a file as rows of numbers."""

from collections.abc import Iterable, Mapping
from math import prod
from typing import Any

from torch import nn

from rankfold.convert import ConvertedLayer
from rankfold.formats import core_shapes
from rankfold.layers import FactorizedLayer, FormatLayer, TTMatrixLayer

__all__ = ["layer_rows", "layouts_of", "saved_share"]


def layouts_of(model: nn.Module) -> dict[str, dict[str, Any]]:
    """The factorised layers of a model by name: kind, ranks, dense shape, and modes or sizes, as files hold them."""
    return {
        name: _layout(module)
        for name, module in model.named_modules(remove_duplicate=False)
        if isinstance(module, FormatLayer)
    }


def _layout(layer: FormatLayer) -> dict[str, Any]:
    common = {
        "kind": layer.dense_class.__name__,
        "ranks": list(layer.ranks),
        "shape": list(layer.weight_shape),
    }
    if isinstance(layer, TTMatrixLayer):
        sizes = {"out_sizes": list(layer.out_sizes), "in_sizes": list(layer.in_sizes)}
        return {**common, **sizes, "format": "tt_matrix"}
    assert isinstance(layer, FactorizedLayer)
    return {**common, "modes": list(layer.modes)}


def layer_rows(layouts: Mapping[str, Mapping[str, Any]]) -> tuple[ConvertedLayer, ...]:
    """Count the parameters of layers, dense and factorised.

    Arguments:
        layouts: as :func:`layouts_of` and ``rankfold.save`` give them.

    Returns:
        One row per layer, in the given order.

    Example:
        >>> layout = {"kind": "Linear", "modes": [0, 1], "ranks": [2, 2], "shape": [10, 20]}
        >>> layer_rows({"last": layout})[0].parameters_after
        64
    """
    return tuple(
        ConvertedLayer(
            name=name,
            kind=layout["kind"],
            shape=tuple(layout["shape"]),
            ranks=tuple(layout["ranks"]),
            parameters_before=prod(layout["shape"]),
            parameters_after=_parameters(layout),
        )
        for name, layout in layouts.items()
    )


def _parameters(layout: Mapping[str, Any]) -> int:
    if layout.get("format") == "tt_matrix":
        return sum(map(prod, core_shapes(layout["out_sizes"], layout["in_sizes"], layout["ranks"])))
    factors = sum(layout["shape"][mode] * layout["ranks"][mode] for mode in layout["modes"])
    return prod(layout["ranks"]) + factors


def saved_share(rows: Iterable[ConvertedLayer]) -> float:
    """Share of the parameters saved in these layers; 0 where there are none, negative where the ranks cost more."""
    rows = tuple(rows)
    before = sum(row.parameters_before for row in rows)
    return 1 - sum(row.parameters_after for row in rows) / before if before else 0.0
