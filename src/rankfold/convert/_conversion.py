"""The table that a conversion returns."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rankfold._shown import Printed

if TYPE_CHECKING:
    from rankfold._display import View

__all__ = ["Conversion", "ConvertedLayer"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConvertedLayer:
    """One row: a layer that was converted, or the reason why it was not.

    Arguments:
        name: path of the module in the model.
        kind: name of its ``nn`` class.
        shape: shape of the dense weight.
        ranks: core dimensions, or the bonds of a TT-matrix, or None where the layer was left alone.
        parameters_before: numbers in the dense weight (bias apart).
        parameters_after: numbers in core and factors, or in all cores; those of the dense weight where it was left
            alone.
        reason: why the layer was left alone, or None.
        note: what to know about a layer that was converted, or None.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    ranks: tuple[int, ...] | None
    parameters_before: int
    parameters_after: int
    reason: str | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Conversion(Printed):
    """What :func:`rankfold.factorize` did, layer by layer; ``print`` and notebooks show it as a table.

    Arguments:
        layers: one row per layer that could have been meant.
        parity_error: relative difference between the factorised model and its dense reconstruction on the
            example inputs, or None if no check was asked for.
        output_change: relative change of the model's output by the truncation, or None likewise.
    """

    layers: tuple[ConvertedLayer, ...]
    parity_error: float | None = None
    output_change: float | None = None

    @property
    def converted(self) -> tuple[ConvertedLayer, ...]:
        """Rows of the layers that are factorised now."""
        return tuple(layer for layer in self.layers if layer.reason is None)

    @property
    def skipped(self) -> tuple[ConvertedLayer, ...]:
        """Rows of the layers that were left alone."""
        return tuple(layer for layer in self.layers if layer.reason is not None)

    @property
    def compression(self) -> float:
        """Share of the parameters saved in the converted layers; negative where the ranks cost more."""
        before = sum(layer.parameters_before for layer in self.converted)
        after = sum(layer.parameters_after for layer in self.converted)
        return 1 - after / before if before else 0.0

    def __iter__(self) -> Iterator[ConvertedLayer]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __repr__(self) -> str:
        return f"<Conversion: {self._summary()}; print shows them>"

    def _summary(self) -> str:
        done = f"{len(self.converted)} of {len(self)} layers factorised"
        return f"{done}, {self.compression:.1%} fewer parameters in them"

    def _view(self) -> "View":
        from rankfold._display import NAME, Grid, Note, View, share_left, shortened, sizes

        columns = ("layer", "kind", "shape", "ranks", "before", "after", "note")
        rows = tuple(
            (
                shortened(layer.name, NAME),
                shortened(layer.kind, NAME),
                sizes(layer.shape),
                "-" if layer.ranks is None else sizes(layer.ranks),
                f"{layer.parameters_before:,}",
                share_left(layer.parameters_before, layer.parameters_after),
                layer.reason or layer.note or "",
            )
            for layer in self.layers
        )
        measured = {"parity error": self.parity_error, "output change": self.output_change}
        changes = [f"{name} {value:.1e}" for name, value in measured.items() if value is not None]
        notes = [self._summary(), ", ".join(changes)]
        table = Grid(columns, rows, numbers=(4, 5), what="layers")
        return View("Conversion", (table, *(Note(text) for text in notes if text)))
