"""Floor 4: networks as files that run without this library."""

from rankfold.export._onnx import export_onnx
from rankfold.export._program import export_program
from rankfold.export._record import ExportRecord

__all__ = ["ExportRecord", "export_onnx", "export_program"]
