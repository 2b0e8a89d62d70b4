"""The table that a compression returns."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rankfold._shown import Printed

if TYPE_CHECKING:
    from rankfold._display import View

__all__ = ["CompressedLayer", "Compression"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CompressedLayer:
    """One row: a layer that was compressed, or the reason why it was not.

    Arguments:
        name: path of the module in the model.
        kind: name of its class.
        shape: shape of the dense weight.
        modes: the factorised modes, empty where the layer was left alone.
        ranks: one rank per factorised mode.
        parameters_before: numbers in the dense weight (bias apart).
        parameters_after: numbers in the plain layers it folds to.
        error: relative Frobenius error of the weight, before any fine-tuning.
        weighted_error: the same in the norm that calibration gave, None without calibration.
        reason: why the layer was left alone, or None.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    modes: tuple[int, ...] = ()
    ranks: tuple[int, ...] = ()
    parameters_before: int
    parameters_after: int
    error: float = 0.0
    weighted_error: float | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Compression(Printed):
    """What :func:`rankfold.compress` did, layer by layer; ``print`` and notebooks show it as a table.

    Arguments:
        layers: one row per layer that could have been meant.
        parameters_before: of the whole model.
        parameters_after: of the whole model as it folds to plain layers.
        output_change: relative change of the model's output on the first calibration batch or the example inputs
            by the truncation, before any fine-tuning; None without either.
        samples: number of calibration samples.
    """

    layers: tuple[CompressedLayer, ...]
    parameters_before: int
    parameters_after: int
    output_change: float | None = None
    samples: int = 0

    @property
    def compressed(self) -> tuple[CompressedLayer, ...]:
        """Rows of the layers that were compressed."""
        return tuple(layer for layer in self.layers if layer.reason is None)

    @property
    def skipped(self) -> tuple[CompressedLayer, ...]:
        """Rows of the layers that were left alone."""
        return tuple(layer for layer in self.layers if layer.reason is not None)

    @property
    def share(self) -> float:
        """Parameters after over parameters before, of the whole model."""
        return self.parameters_after / self.parameters_before if self.parameters_before else 1.0

    def __iter__(self) -> Iterator[CompressedLayer]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __repr__(self) -> str:
        return f"<Compression: {self._summary()}; print shows them>"

    def _summary(self) -> str:
        return (
            f"{len(self.compressed)} of {len(self)} layers compressed, {self.parameters_before:,} -> "
            f"{self.parameters_after:,} parameters ({self.share:.1%})"
        )

    def _view(self) -> "View":
        from rankfold._display import NAME, Grid, Note, View, share_left, shortened, sizes

        columns = ("layer", "kind", "shape", "modes", "ranks", "before", "after", "error", "weighted", "note")
        rows = tuple(
            (
                shortened(layer.name, NAME),
                shortened(layer.kind, NAME),
                sizes(layer.shape),
                ",".join(map(str, layer.modes)) or "-",
                sizes(layer.ranks) if layer.ranks else "-",
                f"{layer.parameters_before:,}",
                share_left(layer.parameters_before, layer.parameters_after),
                "-" if layer.reason else f"{layer.error:.3f}",
                "-" if layer.reason or layer.weighted_error is None else f"{layer.weighted_error:.3f}",
                layer.reason or "",
            )
            for layer in self.layers
        )
        blocks = [Grid(columns, rows, numbers=(5, 6, 7, 8), what="layers"), Note(self._summary())]
        if self.output_change is not None:
            blocks.append(Note(f"the outputs change by {self.output_change:.1e} in relative norm"))
        return View("Compression", tuple(blocks))
