"""What a .safetensors file holds, read without a model."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from torch import Tensor

from rankfold._checkpoint import load_state, read_layouts
from rankfold._checkpoint._file import read_file
from rankfold._checkpoint._trainer import OPTIMIZER, SCHEDULER, taken_state

__all__ = ["FileContent", "read_content"]

Described = dict[str, tuple[tuple[int, ...], str]]


@dataclass(frozen=True, kw_only=True)
class FileContent:
    """Names and shapes.

    Arguments:
        kind: what the file is, in words.
        layouts: its factorised layers, as ``rankfold.save`` describes them.
        tensors: shape and type of every tensor of the model.
        numbers: how many numbers these hold, ranks apart.
        training_numbers: how many further numbers belong to what trains the model.
    """

    kind: str
    layouts: dict[str, dict[str, Any]]
    tensors: Described
    numbers: int
    training_numbers: int


def read_content(file: Path) -> FileContent:
    """Read a file of Rankfold or of anyone.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    layouts = read_layouts(file)
    stored, header = read_file(file)
    described = _headers(file)
    if header is not None and "tree" in header:
        kind, layouts, tensors = _checkpoint_of_run(file, described)
    else:
        kind = "model with factorised layers" if layouts else "plain tensors"
        tensors = {name: described[name] for name in _of_model(header or {}, stored, file)}
        kind += " and what trains it" if len(tensors) < len(described) else ""
    of_model = {name: shape for name, (shape, _) in tensors.items()}
    notes = [of_model.pop(f"{name}.ranks" if name else "ranks", ()) for name in layouts]
    numbers = sum(map(prod, of_model.values()))
    everything = sum(prod(shape) for shape, _ in described.values())
    return FileContent(
        kind=kind,
        layouts=layouts,
        tensors=tensors,
        numbers=numbers,
        training_numbers=everything - numbers - sum(map(prod, notes)),
    )


def _headers(file: Path) -> Described:
    from safetensors import safe_open

    with safe_open(file, framework="pt") as opened:
        slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
        return {name: (tuple(part.get_shape()), part.get_dtype()) for name, part in slices.items()}


def _of_model(header: Mapping[str, Any], stored: Mapping[str, Tensor], file: Path) -> list[str]:
    """Names of the tensors that do not belong to an optimiser or a schedule."""
    left = dict(stored)
    for key in (OPTIMIZER, SCHEDULER):
        taken_state(header, key, left, False, file)
    return list(left)


def _checkpoint_of_run(file: Path, described: Described) -> tuple[str, dict[str, dict[str, Any]], Described]:
    """Kind, layers and tensors of the checkpoint of a run, whose tensors have numbers for names in the file."""
    state = load_state(file)
    if not isinstance(state, dict) or not isinstance(state.get("model"), dict):
        return "training state", {}, described
    tensors = {
        name: (tuple(tensor.shape), str(tensor.dtype).removeprefix("torch."))
        for name, tensor in state["model"].items()
        if isinstance(tensor, Tensor)
    }
    return "checkpoint of a training run", state.get("layouts", {}), tensors
