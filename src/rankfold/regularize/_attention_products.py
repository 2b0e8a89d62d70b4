"""The products that attention multiplies its inputs with: of query and key, and of value and output, head by head.

Axes: H heads, D dimensions of one, E of the inputs.
"""

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from rankfold.layers import SplitAttention

__all__ = ["Attention", "attention_parameters", "attentions", "half_squared_products"]

Attention = SplitAttention | nn.MultiheadAttention


def attentions(model: nn.Module) -> Iterator[tuple[str, Attention]]:
    """The attentions of a model by name."""
    for name, module in model.named_modules():
        if isinstance(module, SplitAttention | nn.MultiheadAttention):
            yield name, module


def attention_parameters(attention: Attention) -> list[nn.Parameter]:
    """The parameters that make the weights of the four projections, biases apart."""
    if isinstance(attention, SplitAttention):
        return [
            parameter
            for projection in attention.projections
            for name, parameter in projection.named_parameters()
            if name != "bias"
        ]
    held = {**attention._parameters, "out_proj_weight": attention.out_proj._parameters["weight"]}
    names = ("in_proj_weight", *(f"{part}_proj_weight" for part in "qkv"), "out_proj_weight")
    return [parameter for name in names if (parameter := held[name]) is not None]


def half_squared_products(attention: Attention) -> Tensor:
    """``Σ_h (||Q_hᵀ K_h||² + ||O_h V_h||²) / 2``, by Gram matrices of one head's dimensions; differentiable.

    Arguments:
        attention: split or not, its projections factorised or not.

    Returns:
        A scalar tensor.

    Reference:
        Khodak et al. 2021, "Initialization and regularization of factorized neural layers", section 4.2.
    """
    query, key, value, output = _weights(attention)
    heads = attention.num_heads
    query_HDE, key_HDE, value_HDE = (weight.unflatten(0, (heads, -1)) for weight in (query, key, value))
    output_HDE = output.mT.unflatten(0, (heads, -1))
    scores = (query_HDE @ query_HDE.mT) * (key_HDE @ key_HDE.mT)
    values = (output_HDE @ output_HDE.mT) * (value_HDE @ value_HDE.mT)
    return 0.5 * (scores.sum() + values.sum())


def _weights(attention: Attention) -> list[Tensor]:
    if isinstance(attention, SplitAttention):
        weights = [projection.weight for projection in attention.projections]
    elif attention.in_proj_weight is not None:
        weights = [*attention.in_proj_weight.chunk(3), attention.out_proj.weight]
    else:
        parts = (attention.q_proj_weight, attention.k_proj_weight, attention.v_proj_weight)
        weights = [*parts, attention.out_proj.weight]
    assert all(isinstance(weight, torch.Tensor) for weight in weights)
    return weights  # pyright: ignore[reportReturnType]
