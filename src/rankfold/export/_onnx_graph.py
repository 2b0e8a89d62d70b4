"""A traced program as one ONNX file."""

import re
from dataclasses import dataclass
from itertools import chain
from typing import Any

import torch
from torch.export import ExportedProgram
from torch.utils import _pytree as pytree

from rankfold._errors import ExportError
from rankfold.export._quiet import quiet, reason
from rankfold.export._trace import Traced

__all__ = ["OnnxGraph", "onnx_graph"]

_LARGEST_FILE = 2**31  # bytes; protobuf, which ONNX files are written in, counts them in an int32
_DTYPES = (torch.float16, torch.float32, torch.float64)  # that onnxruntime computes in on a CPU


@dataclass(frozen=True)
class OnnxGraph:
    """An ONNX model in memory.

    Arguments:
        content: what the file holds.
        opset: version of its operators.
    """

    content: bytes
    opset: int


def onnx_graph(traced: Traced, opset: int | None) -> OnnxGraph:
    """Translate a program with PyTorch's dynamo exporter.

    Arguments:
        traced: the program.
        opset: version of the operators to ask for; None leaves it to PyTorch.

    Raises:
        ExportError: dtypes, sizes or outputs that ONNX has not, or operations that the exporter cannot translate.
    """
    where = traced.where
    _check_weights(traced)
    names = _output_names(where, traced.program)
    try:
        with quiet():
            translated = torch.onnx.export(
                traced.program, dynamo=True, opset_version=opset, output_names=names, verbose=False
            )
            assert translated is not None
            proto = translated.model_proto
    except Exception as error:
        raise ExportError(
            f"{where}: PyTorch cannot translate the model to ONNX ({reason(error)}); replace the operation, or write "
            "the format of torch.export."
        ) from error
    found = next(entry.version for entry in proto.opset_import if entry.domain == "")
    if opset is not None and found != opset:
        raise ExportError(
            f"{where}: PyTorch gives operators of opset {found} where {opset} was asked for; leave opset out, or ask "
            f"for {found}."
        )
    _tidy(proto)
    return OnnxGraph(proto.SerializeToString(), found)


def _check_weights(traced: Traced) -> None:
    tensors = {id(t): t for t in chain(traced.network.parameters(), traced.network.buffers())}
    for tensor in (*tensors.values(), *traced.arguments.leaves()):
        if isinstance(tensor, torch.Tensor) and tensor.is_floating_point() and tensor.dtype not in _DTYPES:
            dtype = str(tensor.dtype).removeprefix("torch.")
            raise ExportError(
                f"{traced.where}: the model or its input is {dtype}, which onnxruntime does not compute in on a CPU; "
                "convert both with .float() or .half()."
            )
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors.values())
    if size >= _LARGEST_FILE:
        raise ExportError(
            f"{traced.where}: the weights take {size:,} bytes and one ONNX file holds less than {_LARGEST_FILE:,}; "
            "write the format of torch.export, or compress the model further."
        )


def _output_names(where: str, program: ExportedProgram) -> list[str]:
    """``output``, or ``output_`` with index or key where the model returns several; None has no name."""
    spec = program.call_spec.out_spec
    assert spec is not None
    produced = list(program.graph_signature.user_outputs)
    nested = pytree.tree_unflatten(list(range(len(produced))), spec)
    names = []
    for path, index in pytree.tree_flatten_with_path(nested)[0]:
        value = produced[index]
        if value is not None and not isinstance(value, str):
            raise ExportError(
                f"{where}: output {index} of the model is {value!r}, ONNX has only tensors; return tensors and None."
            )
        if value is not None:
            parts = [re.sub(r"\W+", "_", pytree.keystr((key,))).strip("_") for key in path]
            names.append("_".join(["output", *parts]))
    return names


def _tidy(proto: Any) -> None:
    """Call the free axis ``batch``, and drop notes on how PyTorch made each node, which name the user's classes."""
    graph = proto.graph
    free = {dim.dim_param for value in graph.input for dim in value.type.tensor_type.shape.dim} - {""}
    for value in chain(graph.input, graph.output, graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            for symbol in free if dim.dim_param else ():
                dim.dim_param = re.sub(rf"\b{symbol}\b", "batch", dim.dim_param)
    for owner in chain(
        (proto, graph), graph.node, graph.input, graph.output, graph.value_info, graph.initializer
    ):
        del owner.metadata_props[:]
