"""Files of ``torch.export``."""

import io
import os
from pathlib import Path
from typing import Any

import torch
from torch import nn

from rankfold._checkpoint import atomic_path
from rankfold._errors import ExportError
from rankfold.export._arguments import Arguments
from rankfold.export._quiet import quiet, reason
from rankfold.export._record import ExportRecord
from rankfold.export._trace import trace
from rankfold.export._verify import checked_tolerance, verify

__all__ = ["export_program"]


def export_program(
    model: nn.Module,
    example_inputs: Any,
    path: str | os.PathLike[str],
    *,
    dynamic_batch: bool = True,
    tolerance: float | None = None,
) -> ExportRecord:
    """Write a model as a program of ``torch.export`` that runs with PyTorch alone.

    A copy of the model is folded (:func:`rankfold.fold`; fold it with example inputs yourself to have it fast rather
    than small), traced in eval mode on the CPU, written, read back and compared with the model on the example
    inputs, on one row and on one row more. The file is complete under its name, or not there. It holds neither the
    example inputs nor the class of the model; ``torch.export.load(path).module()`` runs it.

    Arguments:
        model: any module, with factorised layers or without; it is not changed.
        example_inputs: a tensor, a tuple of arguments or a mapping of keyword arguments for the model. The first
            axis of the first tensor is the batch, and so is that of every tensor of the same first size. Values
            that are no tensors become constants of the file.
        path: the file, overwritten if it exists; ``torch.export.load`` warns of names that do not end in ``.pt2``.
        dynamic_batch: take any number of rows, rather than that of the example inputs only.
        tolerance: relative difference to the outputs of the model that is allowed, in [0, 1); None is 32 eps of
            the coarsest dtype times the root of the number of operations.

    Returns:
        What was written and measured, as an :class:`ExportRecord`.

    Raises:
        ExportError: the model cannot be traced, fixes its batch, or the file does not compute what it computes.
        OptionError: a tolerance out of range, or example inputs without a tensor that has rows.
        CheckpointError: the folder does not exist or cannot be written.

    Example:
        >>> import tempfile, pathlib, torch, rankfold as rf
        >>> model = torch.nn.Sequential(torch.nn.Linear(20, 10), torch.nn.ReLU())
        >>> _ = rf.factorize(model, 2)
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "net.pt2"
        >>> record = export_program(model, torch.randn(4, 20), file)
        >>> record.batch_sizes, record.relative_difference <= record.tolerance
        ((4, 1, 5), True)
        >>> torch.export.load(file).module()(torch.randn(7, 20)).shape
        torch.Size([7, 10])
    """
    where = "export_program"
    tolerance = checked_tolerance(where, tolerance)
    with atomic_path(path) as temporary:
        traced = trace(where, model, example_inputs, dynamic_batch=dynamic_batch)
        try:
            with quiet():
                # In memory first: on a disk that fills up torch's writer ends the whole process.
                written = io.BytesIO()
                torch.export.save(traced.program, written)
                temporary.write_bytes(written.getbuffer())
                with temporary.open("rb") as file:
                    loaded = torch.export.load(file).module()  # pyright: ignore[reportArgumentType]
        except OSError:
            raise
        except Exception as error:
            raise ExportError(
                f"{where}: torch.export cannot write the program of the model and read it back ({reason(error)}); "
                "replace the operation that it names."
            ) from error

        def run(arguments: Arguments) -> list[Any]:
            return arguments.call(loaded)

        difference = verify(traced, run, tolerance)
        return ExportRecord(
            path=Path(path),
            format="torch",
            size_bytes=temporary.stat().st_size,
            absolute_difference=difference.absolute,
            relative_difference=difference.relative,
            tolerance=difference.tolerance,
            batch_sizes=difference.batch_sizes,
            dynamic_batch=dynamic_batch,
        )
