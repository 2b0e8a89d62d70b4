"""Chains of plain layers with the weight of one dense layer in factors, as one writes them by hand.

Axes: O outputs, I inputs, k window, r ranks. A linear layer is a convolution without window.
"""

from collections.abc import Iterable
from math import prod

import torch
from torch import Tensor, nn

__all__ = [
    "Calls",
    "Dense",
    "Layers",
    "Replacements",
    "dense_layers",
    "matrix_chain",
    "matrix_parameters",
    "parameter_count",
    "replace",
    "tucker_chain",
]

Dense = nn.Linear | nn.Conv1d | nn.Conv2d
Layers = dict[str, Dense]
Calls = Iterable[tuple[Tensor, ...]]  # arguments of a network, to look at
Replacements = dict[str, nn.Module]


def dense_layers(model: nn.Module, left_dense: tuple[str, ...]) -> dict[str, Dense]:
    """The linear layers and convolutions of a model by name, without those to be left alone."""
    return {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, Dense) and name not in left_dense
    }


def parameter_count(model: nn.Module) -> int:
    """All parameters of a model, shared ones once."""
    return sum(parameter.numel() for parameter in model.parameters())


def replace(model: nn.Module, name: str, layer: nn.Module) -> None:
    """Put a layer in the place of another."""
    path, _, attribute = name.rpartition(".")
    setattr(model.get_submodule(path), attribute, layer)


def matrix_parameters(weight: Tensor) -> int:
    """Parameters that one rank of the matrix ``(O, I k)`` costs."""
    return weight.shape[0] + prod(weight.shape[1:])


def matrix_chain(layer: Dense, left: Tensor, right: Tensor) -> nn.Module:
    """Two layers for a product: the window first, then a layer of window 1.

    Arguments:
        layer: the dense layer, without groups.
        left: ``(O, r)``.
        right: ``(r, I k)``.
    """
    first = _layer(layer, right.view(-1, *layer.weight.shape[1:]), windowed=True)
    return nn.Sequential(first, _layer(layer, left, bias=layer.bias))


def tucker_chain(layer: Dense, core: Tensor, outputs: Tensor, inputs: Tensor) -> nn.Module:
    """Three layers for a Tucker-2 form: window 1, the window, window 1.

    Arguments:
        layer: the dense layer, without groups.
        core: ``(r_O, r_I, k...)``.
        outputs: ``(O, r_O)``.
        inputs: ``(I, r_I)``.
    """
    last = _layer(layer, outputs, bias=layer.bias)
    return nn.Sequential(_layer(layer, inputs.mT), _layer(layer, core, windowed=True), last)


def _layer(like: Dense, weight: Tensor, *, windowed: bool = False, bias: Tensor | None = None) -> nn.Module:
    """A layer of the same class with another weight, with the window's options or with window 1."""
    outputs, inputs = weight.shape[:2]
    if isinstance(like, nn.Linear):
        layer: Dense = nn.Linear(inputs, outputs, bias is not None)
    elif windowed:
        options = {"stride": like.stride, "padding": like.padding, "dilation": like.dilation}
        layer = type(like)(inputs, outputs, like.kernel_size, **options, bias=bias is not None)
    else:
        layer = type(like)(inputs, outputs, 1, bias=bias is not None)
    with torch.no_grad():
        layer.weight.copy_(weight.reshape(layer.weight.shape))
        if bias is not None and layer.bias is not None:
            layer.bias.copy_(bias)
    return layer
