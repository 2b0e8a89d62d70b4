"""Read a model, and the optimiser that trains it, from a file; all of it or nothing."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from rankfold._checkpoint._file import read_file
from rankfold._checkpoint._fit import check_fit, with_what_plain_files_lack
from rankfold._checkpoint._layouts import checked_aliases, checked_layouts, found_layouts
from rankfold._checkpoint._rebuild import Replacement, replacements_for
from rankfold._checkpoint._trainer import (
    OPTIMIZER,
    RUN,
    SCHEDULER,
    check_trainer,
    lay_out_state,
    taken_state,
)
from rankfold._checkpoint._undo import Undo
from rankfold._checkpoint._words import brief
from rankfold._checks import check_path
from rankfold._errors import CheckpointError
from rankfold.convert._attention import attention_as_in
from rankfold.convert._replace import replace_module
from rankfold.layers import require_module

__all__ = ["load", "load_content"]


@torch.inference_mode(False)  # parameters made in inference mode could never be trained
def load(
    model: nn.Module,
    path: str | os.PathLike[str],
    *,
    optimizer: Optimizer | None = None,
    scheduler: LRScheduler | None = None,
) -> None:
    """Load a file of :func:`save`, or a plain safetensors file, into a model of the same class.

    The model becomes the one that was saved: every layer is dense or factorised, along the modes and at the ranks, as
    the file has it. A layer for which that takes another module is replaced, hooks and shared weights kept; elsewhere
    parameters keep their identity. Everything happens or nothing, for which the values are held twice meanwhile.

    A plain file, such as ``safetensors.torch.save_file(model.state_dict())`` writes, may lack the batch counters of
    batch norms and the further names of shared tensors.

    To take up a run, load into the model of the same layers, at any ranks, that its optimiser was built for. If you
    have the dense model only, load without the optimiser, build the optimiser, and load with it.

    Arguments:
        model: dense, or with any of its layers factorised.
        path: the file.
        optimizer: None, or an optimiser of the class and over the parameters of the saved one.
        scheduler: None, or a schedule of the class of the saved one.

    Raises:
        CheckpointError: the file is missing, damaged or of another model, or holds no state that is asked for; model,
            optimiser and schedule are unchanged.
    """
    require_module(model, "load")
    check_path("load", path)
    load_content(model, *read_file(path), path, optimizer=optimizer, scheduler=scheduler)


@torch.inference_mode(False)
def load_content(
    model: nn.Module,
    tensors: dict[str, Tensor],
    header: dict[str, Any] | None,
    path: str | os.PathLike[str],
    *,
    optimizer: Optimizer | None,
    scheduler: LRScheduler | None,
) -> None:
    """The second half of :func:`load`, after the file was read."""
    plain = header is None
    header = header or {}
    # As torch asks for: a schedule sets learning rates, which the optimiser's state then overwrites.
    trainers = {SCHEDULER: scheduler, OPTIMIZER: optimizer}
    states = {
        key: taken_state(header, key, tensors, trainer is not None, path) for key, trainer in trainers.items()
    }
    taken_state(header, RUN, tensors, False, path)  # of a loop's checkpoint, here only the model is wanted
    tensors |= checked_aliases(header, tensors, path)
    layouts = None if plain else checked_layouts(header, tensors, path)
    with attention_as_in(model, tensors) as other_attention:
        if layouts is None:
            layouts = found_layouts(tensors, model)
            tensors = with_what_plain_files_lack(tensors, model)
        replacements = replacements_for(model, layouts, tensors, path)
        check_fit(model, tensors, layouts, replacements, path)
        if optimizer is not None and (other_attention or replacements):
            which = f"layer {replacements[0].names[0]!r}" if replacements else "an attention"
            raise CheckpointError(
                f"{path}: {which} must be replaced by one of other parameters, which the optimiser would not know; "
                "load without it, build the optimiser, and load with it."
            )
        given = [(trainer, key) for key, trainer in trainers.items() if trainer is not None]
        for trainer, key in given:
            check_trainer(header[key], key, trainer, model, path)
        _fill(model, tensors, replacements, [(trainer, states[key]) for trainer, key in given], path)


def _fill(
    model: nn.Module,
    tensors: Mapping[str, Tensor],
    replacements: Sequence[Replacement],
    states: Sequence[tuple[Any, Any]],
    path: str | os.PathLike[str],
) -> None:
    """Change the model and what trains it; all of it or nothing."""
    undo = Undo(model, replacements, [trainer for trainer, _ in states])
    try:
        for entry in replacements:
            replace_module(model, entry.names, entry.old, entry.new)
        _check_shared(model, tensors, path)
        model.load_state_dict(tensors)
        for trainer, state in states:
            trainer.load_state_dict(state)
            if isinstance(trainer, Optimizer):
                lay_out_state(trainer)
    except BaseException as error:
        undo.restore()
        if isinstance(error, CheckpointError) or not isinstance(error, Exception):
            raise
        raise CheckpointError(
            f"{path}: cannot be loaded ({brief(error, 400)}), nothing was changed; build the model that was saved."
        ) from error


def _check_shared(model: nn.Module, tensors: Mapping[str, Tensor], path: str | os.PathLike[str]) -> None:
    """Two names of one tensor cannot get two values."""
    groups: dict[int, list[str]] = {}
    for name, tensor in model.state_dict(keep_vars=True).items():
        groups.setdefault(id(tensor), []).append(name)
    for first, *others in groups.values():
        for name in others:
            one, two = tensors[first], tensors[name]
            if one is not two and not _same_bits(one, two):
                raise CheckpointError(
                    f"{path}: {first!r} and {name!r} are one tensor in the model and two in the file; build the model "
                    "that was saved."
                )


def _same_bits(one: Tensor, two: Tensor) -> bool:
    """Equality in which NaN is equal to itself."""
    if one.dtype != two.dtype or one.shape != two.shape:
        return False
    return torch.equal(one.reshape(-1).view(torch.uint8), two.reshape(-1).view(torch.uint8))
