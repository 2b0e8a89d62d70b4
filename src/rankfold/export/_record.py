"""What an export wrote and what was measured on it."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["ExportRecord"]


@dataclass(frozen=True, slots=True)
class ExportRecord:
    """One exported file and how far its outputs are from those of the model.

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
