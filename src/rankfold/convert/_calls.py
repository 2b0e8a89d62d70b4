"""How a model calls its layers."""

from collections.abc import Iterable
from dataclasses import replace
from math import prod
from typing import Any

import torch
from torch import Tensor, nn

from rankfold._errors import OptionError
from rankfold.convert._parity import evaluate
from rankfold.ranks import Call

__all__ = ["recorded_calls"]


def recorded_calls(
    model: nn.Module, layers: Iterable[nn.Module], example_inputs: Any, *, training: bool = False
) -> dict[nn.Module, tuple[Call, ...]]:
    """Run a model once in eval mode and note what its layers are given.

    Arguments:
        model: the model; nothing in it is changed.
        layers: the modules of the model to watch.
        example_inputs: a tensor, a tuple of positional arguments, or a mapping of keyword arguments.
        training: whether to note which inputs a gradient flows to.

    Returns:
        For each layer its different calls; none where the model never called it.
    """
    found: dict[nn.Module, list[Call]] = {layer: [] for layer in layers}

    def note(layer: nn.Module, arguments: tuple[Any, ...], options: dict[str, Any], output: Any) -> None:
        given = _call(arguments, options, output)
        calls = found[layer]
        for index, call in enumerate(calls):
            if replace(call, times=1) == given:
                calls[index] = replace(call, times=call.times + 1)
                return
        calls.append(given)

    # Hooks run in the order of registration: these see what those of the user have made of the input.
    handles = [layer.register_forward_pre_hook(_check, with_kwargs=True) for layer in found]
    handles += [layer.register_forward_hook(note, with_kwargs=True) for layer in found]
    try:
        with torch.set_grad_enabled(training):
            evaluate(model, example_inputs)
    finally:
        for handle in handles:
            handle.remove()
    return {layer: tuple(calls) for layer, calls in found.items()}


def _check(layer: nn.Module, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
    given = arguments[0] if arguments else options["input"]
    if not isinstance(given, Tensor):
        raise OptionError(
            f"example_inputs: a layer got {type(given).__name__} where it takes a tensor; pass what the model takes: a "
            "tensor, a tuple of arguments, or a mapping of keyword arguments."
        )


def _call(arguments: tuple[Any, ...], options: dict[str, Any], output: Any) -> Call:
    options = dict(options)
    given = arguments[0] if arguments else options.pop("input")
    return Call(
        shape=tuple(given.shape),
        stride=_memory_format(given),
        dtype=given.dtype,
        device=given.device,
        requires_grad=given.requires_grad,
        values=None if given.is_floating_point() else given.detach(),
        arguments=arguments[1:],
        options=options,
        outputs=output.numel() if isinstance(output, Tensor) else 0,
    )


def _memory_format(tensor: Tensor) -> tuple[int, ...]:
    """Strides of a tensor, or those of a contiguous one where elements overlap or leave gaps."""
    size = 1
    for stride, count in sorted(zip(tensor.stride(), tensor.shape, strict=True)):
        if count > 1:
            if stride != size:
                return tuple(prod(tensor.shape[axis + 1 :]) for axis in range(tensor.ndim))
            size *= count
    return tensor.stride()
