"""Layers of tensorly-torch that do the same work as ours."""

import tltorch
import torch
from tltorch.utils import get_tensorized_shape
from torch import nn

from rankfold import Tucker

__all__ = ["block_tt_linear", "tucker_conv", "tucker_linear"]


def tucker_conv(tucker: Tucker) -> nn.Module:
    """tensorly-torch's 'factorized' 3x3 Tucker convolution, padding 1, with the values of one of our weights.

    Arguments:
        tucker: weight of shape ``(C_out, C_in, 3, 3)``; modes without factor get the identity, because the
            peer factorises all four.

    Returns:
        The layer, without bias.
    """
    outputs, inputs, height, width = tucker.shape
    layer = tltorch.FactorizedConv(
        inputs,
        outputs,
        (height, width),
        padding=1,
        rank=tuple(tucker.core.shape),
        factorization="tucker",
        implementation="factorized",
    )
    factors = [
        torch.eye(size) if factor is None else factor
        for factor, size in zip(tucker.factors, tucker.core.shape, strict=True)
    ]
    with torch.no_grad():
        for own, value in zip(layer.weight.factors, factors, strict=True):
            own.copy_(value)
        layer.weight.core.copy_(tucker.core)
    return layer


def tucker_linear(inputs: int, outputs: int, compression: float) -> nn.Module:
    """tensorly-torch's 'factorized' Tucker linear layer over three modes a side, as it splits them by itself.

    Arguments:
        inputs, outputs: features.
        compression: dense parameters per parameter of the layer.

    Returns:
        The layer, without bias and with the peer's own initial values.
    """
    split_inputs, split_outputs = get_tensorized_shape(inputs, outputs, order=3, verbose=False)
    return tltorch.FactorizedLinear(
        split_inputs,
        split_outputs,
        bias=False,
        rank=1 / compression,
        factorization="tucker",
        implementation="factorized",
    )


def block_tt_linear(
    in_sizes: tuple[int, ...], out_sizes: tuple[int, ...], ranks: tuple[int, ...]
) -> nn.Module:
    """tensorly-torch's 'factorized' linear layer over a TT-matrix, without bias and with its own initial values.

    Arguments:
        in_sizes, out_sizes: factors of the features.
        ranks: the bonds between the cores.
    """
    return tltorch.FactorizedLinear(
        in_sizes,
        out_sizes,
        bias=False,
        rank=(1, *ranks, 1),
        factorization="blocktt",
        implementation="factorized",
    )
