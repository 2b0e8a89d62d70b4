"""One number times the weight of a layer, whatever kind of layer it is."""

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from rankfold._errors import OptionError
from rankfold.layers import FormatLayer

__all__ = ["checked_layers", "scale_weight", "scaled_parameter"]


def scaled_parameter(layer: nn.Module) -> nn.Parameter:
    """A parameter that the weight of a layer is proportional to: the core or the first core, else the weight."""
    parameter = layer._parameters[_name(layer)]
    assert parameter is not None
    return parameter


def scale_weight(layer: nn.Module, number: float | Tensor, of_bias: float | Tensor = 1.0) -> None:
    """Multiply the weight of a layer, and its bias, if it has one, in place."""
    with torch.no_grad():
        scaled_parameter(layer).mul_(number)
        bias = layer._parameters.get("bias")
        if bias is not None:
            bias.mul_(of_bias)


def checked_layers(where: str, layers: Sequence[nn.Module], least: int) -> list[nn.Module]:
    """Layers with weights of their own, in order.

    Raises:
        OptionError: too few, one without such a weight, or two that share one.
    """
    chained = isinstance(layers, nn.Sequential | nn.ModuleList)
    if not chained and (isinstance(layers, nn.Module) or not isinstance(layers, Iterable)):
        raise OptionError(
            f"{where}: layers is a {type(layers).__name__}; pass a list of layers, first to last."
        )
    listed = list(layers)
    if len(listed) < least:
        raise OptionError(f"{where}: got {len(listed)} layers; pass {least} or more, first to last.")
    seen: set[int] = set()
    for number, layer in enumerate(listed):
        name = _name(layer)
        parameter = layer._parameters.get(name) if isinstance(layer, nn.Module) else None
        if parameter is None or parameter.ndim < 2 or parametrize.is_parametrized(layer, name):
            raise OptionError(
                f"{where}: entry {number} of layers is a {type(layer).__name__}; pass layers with a weight matrix or "
                "kernel of their own."
            )
        if id(parameter) in seen:
            raise OptionError(
                f"{where}: entry {number} of layers shares its weight with another; name it once."
            )
        seen.add(id(parameter))
    return listed


def _name(layer: nn.Module) -> str:
    return next(iter(layer.parts)) if isinstance(layer, FormatLayer) else "weight"
