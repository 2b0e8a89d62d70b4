"""What an export wrote and what was measured on it."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rankfold._shown import Printed

if TYPE_CHECKING:
    from rankfold._display import View

__all__ = ["ExportRecord"]


@dataclass(frozen=True, slots=True)
class ExportRecord(Printed):
    """One exported file and how far its outputs are from those of the model; ``print`` and notebooks show a table.

    Arguments:
        path: the file.
        format: ``'torch'`` for a program of ``torch.export``, or ``'onnx'``.
        size_bytes: bytes of the file.
        absolute_difference: largest difference to an output of the model, over all outputs and batch sizes.
        relative_difference: the same, divided by the largest entry of that output in absolute value.
        tolerance: relative difference that was allowed.
        batch_sizes: numbers of rows that the file was compared on.
        dynamic_batch: whether the file takes any number of rows, or only the one of ``batch_sizes``.
        opset: version of the ONNX operators, None for the format torch.
    """

    path: Path
    format: str
    size_bytes: int
    absolute_difference: float
    relative_difference: float
    tolerance: float
    batch_sizes: tuple[int, ...]
    dynamic_batch: bool
    opset: int | None = None

    def _view(self) -> "View":
        from rankfold._display import Facts, View

        sizes = ", ".join(map(str, self.batch_sizes))
        taken = "any number" if self.dynamic_batch else "only as many as compared"
        facts = (
            ("file", str(self.path)),
            ("format", self.format if self.opset is None else f"{self.format}, opset {self.opset}"),
            ("bytes", f"{self.size_bytes:,}"),
            (
                "largest difference",
                f"{self.absolute_difference:.2g}, {self.relative_difference:.2g} of the outputs; "
                f"allowed are {self.tolerance:.2g}",
            ),
            ("rows compared", sizes),
            ("rows it takes", taken),
        )
        return View("ExportRecord", (Facts(facts),))
