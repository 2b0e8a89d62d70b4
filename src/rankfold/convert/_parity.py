"""Does the factorised model compute what its dense reconstruction computes?"""

from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["evaluate", "outputs", "parity_allowed", "relative_difference", "same_noise", "tensors_in"]


@torch.no_grad()
def outputs(model: nn.Module, example_inputs: Any) -> list[Tensor]:
    """All floating-point tensors a model returns in eval mode, in order, with its training flags restored.

    Arguments:
        model: the model.
        example_inputs: a tensor, a tuple of positional arguments, or a mapping of keyword arguments.
    """
    result = evaluate(model, example_inputs)
    return [tensor.double() for tensor in tensors_in(result) if tensor.is_floating_point()]


def evaluate(model: nn.Module, example_inputs: Any) -> Any:
    """What a model returns in eval mode, with its training flags restored; arguments as of :func:`outputs`."""
    flags = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with same_noise(model):
            if isinstance(example_inputs, Mapping):
                return model(**example_inputs)
            return model(*(example_inputs if isinstance(example_inputs, tuple) else (example_inputs,)))
    finally:
        for module, flag in flags.items():
            module.training = flag


def same_noise(model: nn.Module) -> AbstractContextManager[None]:
    """Context that puts random states back at its end: the next run of a model that draws numbers draws the same."""
    return torch.random.fork_rng({p.device for p in model.parameters() if p.device.type == "cuda"})


def relative_difference(first: list[Tensor], second: list[Tensor]) -> float:
    """Norm of the difference over the norm of the second, over all tensors together; equal infinities differ by 0."""
    pairs = [(a, b, b.isfinite() | (a != b)) for a, b in zip(first, second, strict=True)]
    difference = sum(float((a - b)[counted].square().sum()) for a, b, counted in pairs)
    scale = sum(float(b[counted].square().sum()) for _, b, counted in pairs)
    return (difference / scale) ** 0.5 if scale else difference**0.5


def parity_allowed(model: nn.Module, layers: int) -> float:
    """Relative rounding that re-ordered sums may cause: a thousand eps per layer, adding up like a random walk."""
    dtypes = [parameter.dtype for parameter in model.parameters() if parameter.is_floating_point()]
    devices = {parameter.device.type for parameter in model.parameters()}
    dtypes += [torch.get_autocast_dtype(device) for device in devices if torch.is_autocast_enabled(device)]
    eps = max((torch.finfo(dtype).eps for dtype in dtypes), default=0.0)
    return min(1000 * eps * max(layers, 1) ** 0.5, 0.1)


def tensors_in(value: Any) -> Iterable[Tensor]:
    """All tensors in what a model returns: nested sequences, mappings and dataclasses, in order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from tensors_in(item)
    elif is_dataclass(value):
        for field in fields(value):
            yield from tensors_in(getattr(value, field.name))
