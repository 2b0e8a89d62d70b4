"""Write a model, and the optimiser that trains it, to one file."""

import os
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from rankfold._checkpoint._file import write_file
from rankfold._checkpoint._layouts import layouts_of
from rankfold._checkpoint._trainer import OPTIMIZER, SCHEDULER, described_optimizer, described_scheduler
from rankfold._checks import check_path
from rankfold._errors import CheckpointError
from rankfold.layers import require_module

__all__ = ["content_of", "save"]


def save(
    model: nn.Module,
    path: str | os.PathLike[str],
    *,
    optimizer: Optimizer | None = None,
    scheduler: LRScheduler | None = None,
) -> None:
    """Write a model's parameters and buffers, at their exact ranks, to a safetensors file.

    The file is complete under its name or not there at all, and holds a digest by which :func:`load` sees damage.
    Tensors that the model shares are written once. With its optimiser, :class:`rankfold.TDLRT` or any other, and
    its learning rate schedule, a run can be taken up again where it stands, also in the middle of a cycle.

    Arguments:
        model: any module, with factorised layers or without.
        path: the file, overwritten if it exists.
        optimizer: None, or what trains the model.
        scheduler: None, or what sets the optimiser's learning rate.

    Raises:
        CheckpointError: the file cannot be written, or a state holds more than tensors and plain values.

    Example:
        >>> import tempfile, pathlib, rankfold as rf
        >>> from torch import nn
        >>> model = nn.Sequential(nn.Linear(20, 10))
        >>> _ = rf.factorize(model, 2)
        >>> file = pathlib.Path(tempfile.mkdtemp()) / "net.safetensors"
        >>> rf.save(model, file)
        >>> dense = nn.Sequential(nn.Linear(20, 10))
        >>> rf.load(dense, file)
        >>> dense[0].ranks
        (2, 2)
    """
    require_module(model, "save")
    check_path("save", path)
    write_file(path, *content_of(model, path, optimizer=optimizer, scheduler=scheduler))


def content_of(
    model: nn.Module,
    path: str | os.PathLike[str],
    *,
    optimizer: Optimizer | None,
    scheduler: LRScheduler | None,
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Tensors and header of the file that :func:`save` writes."""
    tensors, aliases = _unique(model.state_dict(), path)
    header: dict[str, Any] = {
        "layers": {name: asdict(layout) for name, layout in layouts_of(model).items()},
        "aliases": aliases,
    }
    states: dict[str, Tensor] = {}
    if optimizer is not None:
        header[OPTIMIZER] = described_optimizer(optimizer, model, states)
    if scheduler is not None:
        header[SCHEDULER] = described_scheduler(scheduler, states)
    return tensors | states, header


def _unique(
    state: Mapping[str, Any], path: str | os.PathLike[str]
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a state without repetitions, and the other names of those that repeat."""
    tensors: dict[str, Tensor] = {}
    aliases: dict[str, str] = {}
    seen: dict[tuple[Any, ...], str] = {}
    for name, tensor in state.items():
        if not isinstance(tensor, Tensor):
            raise CheckpointError(
                f"{path}: {name!r} is a {type(tensor).__name__}; only tensors can be saved."
            )
        if is_traceable_wrapper_subclass(tensor):  # whose numbers lie in other tensors
            raise CheckpointError(
                f"{path}: {name!r} is a {type(tensor).__name__}, no plain tensor; save a sharded model with "
                "torch.distributed.checkpoint, and quantise a model after it is loaded."
            )
        if is_lazy(tensor) or tensor.is_meta or tensor.layout is not torch.strided:
            raise CheckpointError(
                f"{path}: {name!r} holds no numbers, or only some; give every parameter dense data before saving."
            )
        key = (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype) if tensor.numel() else (name,)
        if key in seen:
            aliases[name] = seen[key]
            continue
        seen[key] = name
        whole = tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
        tensors[name] = tensor.contiguous() if whole else tensor.clone(memory_format=torch.contiguous_format)
    return tensors, aliases
