"""Files of ONNX."""

import os
from pathlib import Path
from typing import Any

from torch import nn

from rankfold._checkpoint import atomic_path
from rankfold.export._onnx_graph import onnx_graph
from rankfold.export._onnx_runtime import require_onnx, runner
from rankfold.export._record import ExportRecord
from rankfold.export._trace import trace
from rankfold.export._verify import checked_tolerance, verify

__all__ = ["export_onnx"]


def export_onnx(
    model: nn.Module,
    example_inputs: Any,
    path: str | os.PathLike[str],
    *,
    dynamic_batch: bool = True,
    opset: int | None = None,
    tolerance: float | None = None,
) -> ExportRecord:
    """Write a model as one ONNX file that runs with onnxruntime alone.

    As :func:`export_program`, with PyTorch's dynamo exporter after ``torch.export`` and the comparison in
    onnxruntime on the CPU. Inputs keep the names that they have in the model's forward; outputs are called
    ``output``, followed by their index or key where there are several; the free axis is called ``batch``. An
    output that is None is left out. Needs ``pip install 'rankfold[onnx]'``.

    Arguments:
        model: any module, with factorised layers or without, of float16, float32 or float64; it is not changed.
        example_inputs: a tensor, a tuple of arguments or a mapping of keyword arguments for the model. The first
            axis of the first tensor is the batch, and so is that of every tensor of the same first size. Values
            that are no tensors become constants of the file.
        path: the file, ``.onnx`` by custom; overwritten if it exists.
        dynamic_batch: take any number of rows, rather than that of the example inputs only.
        opset: version of the ONNX operators; None leaves it to PyTorch.
        tolerance: relative difference to the outputs of the model that is allowed, in [0, 1); None is 32 eps of
            the coarsest dtype times the root of the number of operations.

    Returns:
        What was written and measured, as an :class:`ExportRecord`.

    Raises:
        ExportError: the packages are missing, the model cannot be traced or translated, fixes its batch, has 2 GiB
            of weights or more, or the file does not compute what it computes.
        OptionError: a tolerance out of range, or example inputs without a tensor that has rows.
        CheckpointError: the folder does not exist or cannot be written.

    Example:
        >>> import tempfile, pathlib, torch, rankfold as rf
        >>> model = torch.nn.Sequential(torch.nn.Linear(20, 10), torch.nn.ReLU())
        >>> _ = rf.factorize(model, 2)
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "net.onnx"
        >>> record = export_onnx(model, torch.randn(4, 20), file)
        >>> record.batch_sizes, record.relative_difference <= record.tolerance
        ((4, 1, 5), True)
    """
    where = "export_onnx"
    tolerance = checked_tolerance(where, tolerance)
    require_onnx(where)
    with atomic_path(path) as temporary:
        traced = trace(where, model, example_inputs, dynamic_batch=dynamic_batch)
        graph = onnx_graph(traced, opset)
        temporary.write_bytes(graph.content)
        run = runner(traced, temporary)
        difference = verify(traced, run, tolerance)
        return ExportRecord(
            path=Path(path),
            format="onnx",
            size_bytes=temporary.stat().st_size,
            absolute_difference=difference.absolute,
            relative_difference=difference.relative,
            tolerance=difference.tolerance,
            batch_sizes=difference.batch_sizes,
            dynamic_batch=dynamic_batch,
            opset=graph.opset,
        )
