"""An ONNX file run by onnxruntime."""

import importlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from rankfold._errors import ExportError
from rankfold.export._arguments import Arguments
from rankfold.export._quiet import quiet, reason
from rankfold.export._trace import Traced

__all__ = ["require_onnx", "runner"]

_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
_ERRORS_ONLY = 3  # severity of onnxruntime's log


def require_onnx(where: str) -> None:
    """Find out whether the packages of ONNX are there.

    Raises:
        ExportError: one is missing.
    """
    for package in _PACKAGES:
        try:
            with quiet():
                importlib.import_module(package)
        except ImportError as error:
            raise ExportError(
                f"{where}: the package {package} cannot be imported ({reason(error)}); run pip install "
                "'rankfold[onnx]'."
            ) from None


def runner(traced: Traced, file: Path) -> Callable[[Arguments], list[Any]]:
    """Open an ONNX file on the CPU.

    Arguments:
        traced: the program that it was made from.
        file: the file.

    Returns:
        A function from arguments of the model to its outputs, in its order and without nesting.

    Raises:
        ExportError: onnxruntime cannot run the file.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = _ERRORS_ONLY
    options.intra_op_num_threads = torch.get_num_threads()
    try:
        session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ExportError(
            f"{traced.where}: onnxruntime cannot run the model ({reason(error)}); replace the operation or the dtype "
            "that it names, or write the format of torch.export."
        ) from error
    signature = traced.program.graph_signature
    known = {value.name for value in session.get_inputs()}

    def run(arguments: Arguments) -> list[Any]:
        feed = {
            name: value.numpy()
            for name, value in zip(signature.user_inputs, arguments.leaves(), strict=True)
            if isinstance(value, Tensor) and name in known
        }
        outputs = iter(session.run(None, feed))
        return [
            None if output is None else torch.as_tensor(next(outputs)) for output in signature.user_outputs
        ]

    return run
