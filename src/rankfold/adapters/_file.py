"""Adapters in files of their own: a few tensors, and what they belong to in the header."""

import os
import re
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from rankfold._checkpoint._file import read_file, write_file
from rankfold._checkpoint._words import brief, some
from rankfold._checks import check_path
from rankfold._errors import CheckpointError, RankfoldError
from rankfold.adapters._adapted import AdaptedLayer, adapted_layers, require_adapted
from rankfold.adapters._attach import ADAPTERS, Adapter, attach, detach, own_hooks
from rankfold.convert._replace import names_by_module, replace_module
from rankfold.layers import require_module

__all__ = ["load_adapter", "save_adapter"]

_KEY = "adapter"


def save_adapter(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Write the adapters of a model, and the parameters trained beside them, to a safetensors file.

    The file is complete under its name or not there at all. The frozen weights are not in it.

    Arguments:
        model: with adapters, merged or not.
        path: the file, overwritten if it exists.

    Raises:
        OptionError: the model has no adapter.
        CheckpointError: the file cannot be written.

    Example:
        >>> import pathlib, tempfile
        >>> from rankfold import adapters
        >>> model, file = nn.Sequential(nn.Linear(8, 8)), pathlib.Path(tempfile.mkdtemp()) / "adapter.safetensors"
        >>> attachment = adapters.attach(model, 2)
        >>> adapters.save_adapter(model, file)
        >>> plain = nn.Sequential(nn.Linear(8, 8))
        >>> adapters.load_adapter(plain, file)
        >>> plain[0].change.layer.ranks
        (2, 2)
    """
    check_path("adapters.save_adapter", path)
    found = require_adapted(model, "save_adapter")
    adapter = _adapter_of(found)
    tensors = _own_tensors(model, found)
    header = {
        _KEY: {
            "kind": adapter.name,
            "settings": _settings(adapter),
            "layers": {name: list(_frozen(adapted).shape) for name, adapted in found.items()},
        }
    }
    write_file(path, tensors, header)


@torch.inference_mode(False)
def load_adapter(model: nn.Module, path: str | os.PathLike[str]) -> None:
    """Attach the adapters of a file of :func:`save_adapter` to a model of the same class.

    Everything happens or nothing. All parameters of the model are frozen but those of the file, so that training can go
    on; an adapter that the model has is taken off first.

    Arguments:
        model: with the weights that the adapter was trained on.
        path: the file.

    Raises:
        CheckpointError: the file is missing, damaged, holds no adapter, or belongs to another model.

    Example:
        See :func:`save_adapter`.
    """
    require_module(model, "adapters.load_adapter")
    check_path("adapters.load_adapter", path)
    tensors, header = read_file(path)
    adapter, shapes = _described(header, path)
    _check_layers(model, shapes, path)
    beside = sorted(name for name in tensors if not re.search(r"(^|\.)change\.", name))
    before = _State(model)
    if before.adapted:
        detach(model)
    try:
        own = dict(model.named_parameters())
        _check_beside(own, beside, tensors, path)
        attach(model, adapter, include=[re.escape(name) for name in shapes])
        _fill(dict(adapted_layers(model)), tensors, shapes, path)
        with torch.no_grad():
            for name in beside:
                before.keep(own[name])
                own[name].copy_(tensors[name])
                own[name].requires_grad_()
    except BaseException as error:
        before.restore(model)
        if isinstance(error, CheckpointError) or not isinstance(error, RankfoldError):
            raise
        raise CheckpointError(
            f"{path}: the adapter does not fit this model ({brief(error)}); pass one of this model."
        ) from error


class _State:
    """What a model was before an adapter was loaded: its adapters, what was trained, and values that were changed."""

    def __init__(self, model: nn.Module) -> None:
        names = names_by_module(model)
        self.adapted = [(names[adapted], adapted, adapted.merged) for _, adapted in adapted_layers(model)]
        self.trained = {parameter: parameter.requires_grad for parameter in model.parameters()}
        self.values: dict[nn.Parameter, Tensor] = {}

    def keep(self, parameter: nn.Parameter) -> None:
        """Remember a value."""
        self.values[parameter] = parameter.detach().clone()

    def restore(self, model: nn.Module) -> None:
        """Make the model what it was."""
        for parameter, value in self.values.items():
            parameter.data.copy_(value)
        if next(adapted_layers(model), None) is not None:
            detach(model)
        for names, adapted, merged in self.adapted:
            replace_module(model, names, adapted.base, adapted)
            own_hooks(adapted.base)
            if merged:
                adapted.merge()
        for parameter, trained in self.trained.items():
            parameter.requires_grad_(trained)


def _settings(adapter: Adapter) -> dict[str, Any]:
    """Plain values; of a rank policy, which was for the start only, nothing is kept: the tensors have their ranks."""
    values = asdict(adapter)  # pyright: ignore[reportArgumentType]
    return {name: value if isinstance(value, int | float | str) else 1 for name, value in values.items()}


def _frozen(adapted: AdaptedLayer) -> Tensor:
    weight = adapted.base.weight
    assert isinstance(weight, Tensor)
    return weight


def _own_tensors(model: nn.Module, found: Mapping[str, AdaptedLayer]) -> dict[str, Tensor]:
    """Of every adapter its parameters and buffers, shared ones once, and what is trained beside them."""
    tensors: dict[str, Tensor] = {}
    seen: set[int] = set()
    for name, adapted in found.items():
        for key, value in adapted.change.state_dict(keep_vars=True).items():
            if id(value) not in seen:
                tensors[f"{name}.change.{key}" if name else f"change.{key}"] = value.detach()
                seen.add(id(value))
    for name, parameter in model.named_parameters():
        if parameter.requires_grad and id(parameter) not in seen:
            tensors[name] = parameter.detach()
    return {name: value.contiguous() for name, value in tensors.items()}


def _adapter_of(found: Mapping[str, AdaptedLayer]) -> Adapter:
    return next(iter(found.values())).change.adapter


def _described(
    header: Mapping[str, Any] | None, path: str | os.PathLike[str]
) -> tuple[Adapter, dict[str, list[int]]]:
    about = (header or {}).get(_KEY)
    try:
        if not isinstance(about, dict):
            raise ValueError("it holds none")
        adapter = ADAPTERS[about["kind"]](**about["settings"])
        shapes = {str(name): [int(size) for size in shape] for name, shape in about["layers"].items()}
        if not shapes:
            raise ValueError("it is for no layer")
    except (RankfoldError, KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise CheckpointError(
            f"{path}: the file holds no adapter that this version can read ({brief(error)}); pass one that "
            "rankfold.adapters.save_adapter wrote."
        ) from None
    return adapter, shapes


def _check_layers(model: nn.Module, shapes: Mapping[str, list[int]], path: str | os.PathLike[str]) -> None:
    modules = dict(model.named_modules(remove_duplicate=False))
    wrong = [
        f"{name} of shape {tuple(shape)}"
        for name, shape in shapes.items()
        if list(getattr(getattr(modules.get(name), "weight", None), "shape", ())) != shape
    ]
    if wrong:
        raise CheckpointError(
            f"{path}: the adapter is for layers that this model does not have: {some(wrong)}; load it into the model "
            "that it was trained on."
        )


def _check_beside(
    own: Mapping[str, nn.Parameter], beside: list[str], tensors: Mapping[str, Tensor], path: Any
) -> None:
    wrong = [name for name in beside if name not in own or own[name].shape != tensors[name].shape]
    if wrong:
        raise CheckpointError(
            f"{path}: the file has parameters that this model does not have: {some(wrong)}; load it into the model "
            "that it was trained on."
        )


def _fill(
    found: Mapping[str, AdaptedLayer],
    tensors: Mapping[str, Tensor],
    shapes: Mapping[str, list[int]],
    path: str | os.PathLike[str],
) -> None:
    missing = set(shapes) - set(found)
    if missing:
        raise CheckpointError(
            f"{path}: layers of this model cannot have the adapter: {some(sorted(missing))}; load it into the model "
            "that it was trained on."
        )
    for name, adapted in found.items():
        prefix = f"{name}.change."
        state = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
        if not state:
            continue  # shared with a layer that has been filled
        try:
            adapted.change.load_state_dict(state)
        except RuntimeError as error:
            raise CheckpointError(
                f"{path}: the adapter of {name!r} is damaged ({brief(error)}); take another file."
            ) from None
    bad = [
        name
        for name, adapted in found.items()
        if not all(bool(value.isfinite().all()) for value in adapted.change.parameters())
    ]
    if bad:
        raise CheckpointError(
            f"{path}: the adapter of {some(bad)} holds NaN or infinity; take an earlier file."
        )
