"""A folded copy of a model as a program of ``torch.export``."""

import contextlib
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.export import ExportedProgram

from rankfold._errors import ExportError
from rankfold.convert import fold
from rankfold.export._arguments import Arguments, as_arguments
from rankfold.export._quiet import quiet, reason

__all__ = ["Traced", "trace"]


@dataclass(frozen=True)
class Traced:
    """A program and what to compare it with.

    Arguments:
        where: the caller's name, for messages.
        network: the folded copy in eval mode, on the CPU.
        arguments: example inputs, on the CPU.
        program: made from the network.
        dynamic_batch: whether the program takes any number of rows.
    """

    where: str
    network: nn.Module
    arguments: Arguments
    program: ExportedProgram
    dynamic_batch: bool


def trace(where: str, model: nn.Module, example_inputs: Any, *, dynamic_batch: bool) -> Traced:
    """Fold a copy of a model and trace it.

    Arguments:
        where: the caller's name, for messages.
        model: any module; it is not changed.
        example_inputs: a tensor, a tuple of positional arguments, or a mapping of keyword arguments.
        dynamic_batch: leave the number of rows free.

    Raises:
        ExportError: the model fails on the inputs, cannot be traced, or fixes its batch.
        OptionError: the inputs hold no tensor with rows.
    """
    arguments = as_arguments(where, example_inputs)
    try:
        network = fold(model).cpu().eval()
    except Exception as error:
        raise ExportError(
            f"{where}: the model cannot be copied to the CPU ({reason(error)}); give its parameters data, and keep no "
            "results of computations as attributes."
        ) from error
    try:
        program = _program(network, arguments, dynamic_batch=dynamic_batch)
    except Exception as error:
        raise _failure(where, network, arguments, error, dynamic_batch=dynamic_batch) from error
    return Traced(where, network, arguments, program, dynamic_batch)


def _program(network: nn.Module, arguments: Arguments, *, dynamic_batch: bool) -> ExportedProgram:
    # One row would be taken for a constant: torch.export specialises on sizes 0 and 1.
    rows = max(arguments.rows, 2) if dynamic_batch else arguments.rows
    given = arguments.with_rows(rows)
    shapes = torch.export.ShapesCollection()
    if dynamic_batch:
        batch = torch.export.Dim("batch")
        for value in given.leaves():
            if given.has_batch(value):
                shapes[value] = {0: batch}
    # The file computes in the dtypes of the parameters, whatever surrounds the call that writes it.
    with quiet(), torch.autocast("cpu", enabled=False):
        program = torch.export.export(
            network,
            given.positional,
            given.named,
            dynamic_shapes=shapes,  # pyright: ignore[reportArgumentType] - its annotation lacks them
            strict=False,
        )
    # Neither the user's data nor the folders of the source files belong into a file that is given away.
    program.example_inputs = None
    for module in program.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            for node in module.graph.nodes:
                node.meta.pop("stack_trace", None)
    return program


def _failure(
    where: str, network: nn.Module, arguments: Arguments, error: Exception, *, dynamic_batch: bool
) -> ExportError:
    """Why a network cannot be traced: found by running it, and by tracing it for one batch size."""
    try:
        arguments.call(network)
    except Exception as own:
        return ExportError(
            f"{where}: the model fails on example_inputs ({reason(own)}); pass what its forward takes: a tensor, a "
            "tuple of arguments, or a mapping of keyword arguments."
        )
    if dynamic_batch:
        with contextlib.suppress(Exception):
            _program(network, arguments, dynamic_batch=False)
            return ExportError(
                f"{where}: the model does not take batches of every size ({reason(error)}); change the line that "
                f"fixes it, or ask for a file that takes {arguments.rows} rows only with dynamic_batch=False (on the "
                "command line --fixed-batch)."
            )
    return ExportError(
        f"{where}: torch.export cannot trace the model ({reason(error)}); write its forward without branches on "
        "values of tensors and without calls that PyTorch does not see."
    )
