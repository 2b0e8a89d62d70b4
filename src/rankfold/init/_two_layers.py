"""How the scale of a shallow network is shared by its two layers."""

from math import prod, sqrt

import torch
from torch import nn

from rankfold._checks import check_generator, check_positive
from rankfold.init._layer_weights import checked_layers, scaled_parameter
from rankfold.layers import FormatLayer

__all__ = ["initialize_two_layers"]


@torch.no_grad()
def initialize_two_layers(
    first: nn.Module, second: nn.Module, ratio: float = 1.0, *, generator: torch.Generator | None = None
) -> tuple[float, float]:
    """Draw the weights of two layers with deviations whose product is that of He's initialisation, in place.

    The product sets the size of the outputs; the ratio sets how far the first layer moves in training. A small ratio is
    the lazy regime, in which a wide network interpolates with features that stay as drawn, and generalises worse.

    Arguments:
        first, second: plain or factorised layers; their biases become zero.
        ratio: deviation of the second layer relative to He's, over 0; the first gets He's divided by it.
        generator: source of the random numbers; None is torch's global one.

    Returns:
        The two deviations.

    Raises:
        OptionError: a ratio out of range, or layers without a weight of their own.

    Reference:
        Song, Ramezani-Kebrya, Pethick, Eftekhari, Cevher 2021, "Subquadratic overparameterization for shallow neural
        networks", whose experiment holds the product and sweeps the second deviation.

    Example:
        >>> first, second = nn.Linear(200, 800), nn.Linear(800, 10)
        >>> initialize_two_layers(first, second, 2.0)
        (0.05, 0.1)
    """
    layers = checked_layers("initialize_two_layers", [first, second], 2)
    check_positive("initialize_two_layers", "ratio", ratio)
    check_generator("initialize_two_layers", generator)
    deviations = []
    for layer, share in zip(layers, (1 / ratio, ratio), strict=True):
        parameter = scaled_parameter(layer)
        if isinstance(layer, FormatLayer):
            fan_in, size = layer._fan_in(), prod(layer.weight_shape)
            layer.reset_parameters(generator)
            norm = layer.value.norm()
        else:
            fan_in, size, norm = prod(parameter.shape[1:]), 0, None
        std = sqrt(2 / fan_in) * share
        if norm is None:
            parameter.normal_(0, std, generator=generator)
        else:
            parameter.mul_(std * sqrt(size) / norm)
        bias = layer._parameters.get("bias")
        if bias is not None:
            bias.zero_()
        deviations.append(std)
    return deviations[0], deviations[1]
