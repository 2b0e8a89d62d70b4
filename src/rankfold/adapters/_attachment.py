"""The table that :func:`attach` returns."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rankfold._shown import Printed

if TYPE_CHECKING:
    from rankfold._display import View

__all__ = ["AttachedLayer", "Attachment"]


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachedLayer:
    """One row: a layer that got an adapter, or the reason why it did not.

    Arguments:
        name: path of the module in the model.
        kind: name of its class.
        shape: of its weight.
        parameters: numbers in the weight.
        trainable: numbers of the adapter that this layer is the first to use; 0 where it has none.
        reason: why it has none, or None.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    trainable: int = 0
    reason: str | None = None


@dataclass(frozen=True, slots=True, repr=False)
class Attachment(Printed):
    """What :func:`rankfold.adapters.attach` did, layer by layer; ``print`` shows it as a table.

    Arguments:
        layers: one row per layer that could have been meant.
        frozen: parameters of the model that are not trained.
        trainable: those that are, adapters and what was asked to be trained beside them.
    """

    layers: tuple[AttachedLayer, ...]
    frozen: int
    trainable: int

    @property
    def attached(self) -> tuple[AttachedLayer, ...]:
        """Rows of the layers that have an adapter now."""
        return tuple(layer for layer in self.layers if layer.reason is None)

    @property
    def skipped(self) -> tuple[AttachedLayer, ...]:
        """Rows of the layers that have none."""
        return tuple(layer for layer in self.layers if layer.reason is not None)

    def __iter__(self) -> Iterator[AttachedLayer]:
        return iter(self.layers)

    def __len__(self) -> int:
        return len(self.layers)

    def __repr__(self) -> str:
        return f"<Attachment: {self._summary()}; print shows them>"

    def _summary(self) -> str:
        whole = max(self.frozen + self.trainable, 1)
        return (
            f"{len(self.attached)} of {len(self)} layers adapted, {self.trainable:,} parameters to train beside "
            f"{self.frozen:,} frozen ones ({self.trainable / whole:.2%})"
        )

    def _view(self) -> "View":
        from rankfold._display import NAME, Grid, Note, View, shortened, sizes

        columns = ("layer", "kind", "shape", "parameters", "trainable", "note")
        rows = tuple(
            (
                shortened(layer.name, NAME),
                shortened(layer.kind, NAME),
                sizes(layer.shape),
                f"{layer.parameters:,}",
                f"{layer.trainable:,}" if layer.reason is None else "-",
                layer.reason or "",
            )
            for layer in self.layers
        )
        return View("Attachment", (Grid(columns, rows, numbers=(3, 4), what="layers"), Note(self._summary())))
