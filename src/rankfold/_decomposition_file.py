"""Decompositions as safetensors files: factors by name, what they are in the header; no pickle."""

import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from rankfold._checkpoint import atomic_path
from rankfold._checkpoint._file import read_file
from rankfold._checkpoint._words import brief
from rankfold._errors import CheckpointError
from rankfold._registry import Registry
from rankfold.formats import CP, TT, TTMatrix, Tucker

__all__ = ["load_decomposition", "save_decomposition"]

_VERSION = "rankfold-1"  # of all files of this library


@dataclass(frozen=True, slots=True)
class _Kind:
    """How a format is written: ``name`` in the header, its tensors by name, and the way back."""

    name: str
    format: type
    tensors: Callable[[Any], dict[str, Tensor]]
    build: Callable[[Mapping[str, Tensor], int], Any]


def _factors(factors: tuple[Tensor | None, ...]) -> dict[str, Tensor]:
    return {f"factor_{mode}": factor for mode, factor in enumerate(factors) if factor is not None}


_KINDS: Registry[_Kind] = Registry(
    "decomposition format",
    _Kind(
        "cp",
        CP,
        lambda t: {"weights": t.weights, **_factors(t.factors)},
        lambda found, order: CP(found["weights"], tuple(found[f"factor_{mode}"] for mode in range(order))),
    ),
    _Kind(
        "tucker",
        Tucker,
        lambda t: {"core": t.core, **_factors(t.factors)},
        lambda found, order: Tucker(
            found["core"], tuple(found.get(f"factor_{mode}") for mode in range(order))
        ),
    ),
    _Kind(
        "tt",
        TT,
        lambda t: {f"core_{mode}": core for mode, core in enumerate(t.cores)},
        lambda found, order: TT(tuple(found[f"core_{mode}"] for mode in range(order))),
    ),
    _Kind(
        "tt_matrix",
        TTMatrix,
        lambda t: {f"core_{number}": core for number, core in enumerate(t.cores)},
        lambda found, order: TTMatrix(tuple(found[f"core_{number}"] for number in range(len(found)))),
    ),
)


def save_decomposition(tensor: CP | Tucker | TT | TTMatrix, path: str | os.PathLike[str]) -> None:
    """Write the factors of a decomposition to a safetensors file.

    The file is complete under its name or not there at all. Tensors are named ``weights``, ``core``, ``factor_0``
    and so on; TT and TTMatrix have ``core_0`` and so on.

    Arguments:
        tensor: a CP, Tucker or TT tensor, or a TT-matrix.
        path: the file, overwritten if it exists.

    Raises:
        CheckpointError: the file cannot be written, or the tensor is of another format.

    Example:
        >>> import pathlib, tempfile
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "factors.safetensors"
        >>> save_decomposition(CP(torch.ones(2), (torch.ones(3, 2), torch.ones(4, 2))), file)
        >>> load_decomposition(file).shape
        (3, 4)
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    from rankfold import __version__

    kind = next((kind for kind in _KINDS.values() if type(tensor) is kind.format), None)
    if kind is None:
        raise CheckpointError(
            f"save_decomposition: got {type(tensor).__name__}; pass a CP, Tucker, TT or TTMatrix."
        )
    # Copies, because safetensors writes no tensors that share memory or lie in it with gaps.
    tensors = {
        name: part.detach().clone(memory_format=torch.contiguous_format)
        for name, part in kind.tensors(tensor).items()
    }
    about = {
        "format": kind.name,
        "shape": list(tensor.shape),
        "ranks": list(tensor.ranks),
        "versions": {"rankfold": __version__, "torch": torch.__version__},
    }
    header = json.dumps({"version": _VERSION, "decomposition": about})
    with atomic_path(path) as temporary:
        try:
            # One entry only: safetensors writes several in random order, and equal results give equal files.
            save_file(tensors, temporary, metadata={"rankfold": header})
        except SafetensorError as error:
            raise CheckpointError(
                f"{path}: cannot be written ({error}); make room, or name another place."
            ) from error


def load_decomposition(path: str | os.PathLike[str]) -> CP | Tucker | TT | TTMatrix:
    """Read a file of :func:`save_decomposition`, such as ``factors.safetensors`` of ``rankfold decompose``.

    Arguments:
        path: the file.

    Returns:
        The tensor on the CPU, in the format it was written in.

    Raises:
        CheckpointError: the file is missing, damaged, or holds no decomposition.
    """
    tensors, header = read_file(path)
    about = (header or {}).get("decomposition")
    kind = about.get("format") if isinstance(about, dict) else None
    if not isinstance(about, dict) or not isinstance(kind, str) or kind not in _KINDS:
        raise CheckpointError(f"{path}: the file holds no decomposition; pass one of save_decomposition.")
    try:
        if not isinstance(about["shape"], list):
            raise ValueError("the header has no shape")
        tensor = _KINDS[kind].build(tensors, len(about["shape"]))
        if list(tensor.shape) != about["shape"]:
            raise ValueError(f"the factors give {tensor.shape}, the header says {brief(about['shape'], 60)}")
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path}: the file is damaged ({brief(error)}); decompose again.") from None
    return tensor
