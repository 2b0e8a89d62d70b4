"""Nested states as JSON and tensors."""

import os
from typing import Any

from torch import Tensor

from rankfold._checkpoint._file import read_file, write_file
from rankfold._errors import CheckpointError

__all__ = ["decode", "encode", "load_state", "save_state"]


def save_state(path: str | os.PathLike[str], tree: Any) -> None:
    """Write nested dictionaries and lists of tensors, numbers, strings, booleans and None to one file.

    Raises:
        CheckpointError: the file cannot be written, or the tree holds something else.
    """
    tensors: dict[str, Tensor] = {}
    write_file(path, tensors, {"tree": encode(tree, tensors)})


def load_state(path: str | os.PathLike[str]) -> Any:
    """Read what :func:`save_state` wrote.

    Raises:
        CheckpointError: the file is missing, damaged or of another kind.
    """
    tensors, header = read_file(path)
    if header is None or "tree" not in header:
        raise CheckpointError(f"{path}: the file holds no training state; pass the checkpoint of a run.")
    return decode(header["tree"], tensors, path)


def encode(value: Any, tensors: dict[str, Tensor], prefix: str = "") -> Any:
    """JSON in which every container is tagged, because JSON knows neither tensors nor whole-number keys.

    Arguments:
        value: the tree.
        tensors: takes up copies of the tensors, named by the prefix and a number.
        prefix: begins these names.

    Raises:
        CheckpointError: the tree holds something else, or itself.
    """
    try:
        return _encode(value, tensors, prefix)
    except RecursionError:
        raise CheckpointError(
            "save: a training state is nested too deeply, or holds itself; give optimiser and scheduler plain settings."
        ) from None


def _encode(value: Any, tensors: dict[str, Tensor], prefix: str) -> Any:
    if isinstance(value, Tensor):
        key = f"{prefix}{len(tensors)}"
        tensors[key] = value.detach().contiguous().clone()
        return {"tensor": key}
    if isinstance(value, dict) and all(key is None or isinstance(key, int | float | str) for key in value):
        return {"dict": [[key, _encode(item, tensors, prefix)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        return {"list": [_encode(item, tensors, prefix) for item in value]}
    if value is None or isinstance(value, bool | int | float | str):
        return {"value": value}
    raise CheckpointError(
        f"save: a training state holds an object of type {type(value).__name__}, allowed are tensors and plain "
        "values under plain keys; leave out what holds it."
    )


def decode(node: Any, tensors: dict[str, Tensor], path: str | os.PathLike[str]) -> Any:
    """The way back from :func:`encode`; takes the tensors it uses out of the dictionary.

    Raises:
        CheckpointError: not what :func:`encode` gives.
    """
    try:
        return _decode(node, tensors)
    except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: the file is damaged: its training state cannot be read; copy or save it again."
        ) from error


def _decode(node: Any, tensors: dict[str, Tensor]) -> Any:
    ((kind, content),) = node.items()
    if kind == "tensor":
        # A copy at an address that torch chose: kernels follow the alignment of their data. A tensor is used once,
        # so that no small file asks for a large memory.
        return tensors.pop(content).clone()
    if kind == "dict":
        return {key: _decode(item, tensors) for key, item in content}
    if kind == "list":
        return [_decode(item, tensors) for item in content]
    if kind == "value" and not isinstance(content, dict | list):
        return content
    raise ValueError(kind)
