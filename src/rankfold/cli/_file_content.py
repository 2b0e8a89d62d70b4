"""What a .safetensors file holds, read without a model."""

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from rankfold._checkpoint import load_state, read_layouts
from rankfold._errors import CheckpointError

__all__ = ["FileContent", "read_content"]


@dataclass(frozen=True, kw_only=True)
class FileContent:
    """Names and shapes.

    Arguments:
        kind: what the file is, in words.
        layouts: its factorised layers, as ``rankfold.save`` describes them.
        tensors: shape and type of every tensor.
        numbers: how many numbers all tensors hold, ranks apart.
    """

    kind: str
    layouts: dict[str, dict[str, Any]]
    tensors: dict[str, tuple[tuple[int, ...], str]]
    numbers: int


def read_content(file: Path) -> FileContent:
    """Read the header of a file of Rankfold or of anyone.

    Raises:
        CheckpointError: the file is missing or damaged.
    """
    layouts = read_layouts(file)
    tensors = _headers(file)
    if layouts:
        kind = "model with factorised layers"
    else:
        layouts = _layouts_of_checkpoint(file)
        kind = "plain tensors" if layouts is None else "checkpoint of a training run"
    parts = {f"{name}.ranks" for name in layouts or {}}
    counted = {name: shape for name, (shape, _) in tensors.items() if name not in parts}
    return FileContent(
        kind=kind,
        layouts=layouts or {},
        tensors=tensors,
        numbers=sum(prod(shape) for shape in counted.values()),
    )


def _headers(file: Path) -> dict[str, tuple[tuple[int, ...], str]]:
    from safetensors import safe_open

    with safe_open(file, framework="pt") as opened:
        slices = {name: opened.get_slice(name) for name in opened.keys()}  # noqa: SIM118 - no mapping
        return {name: (tuple(part.get_shape()), part.get_dtype()) for name, part in slices.items()}


def _layouts_of_checkpoint(file: Path) -> dict[str, dict[str, Any]] | None:
    """The layers in the checkpoint of a run, or None if the file is no such."""
    try:
        state = load_state(file)
    except CheckpointError:
        return None
    return state.get("layouts", {}) if isinstance(state, dict) else {}
