"""Layers of tensorly-torch in and out. The only file here that imports it."""

from typing import Any

import torch
from torch import nn

from rankfold._errors import OptionError
from rankfold.formats import CP, TTMatrix, Tucker
from rankfold.integrations._tensorly import from_tensorly
from rankfold.layers import Conv1d, Conv2d, Conv3d, Linear, TTMatrixLinear, write_weight

try:
    import tltorch
except ImportError as error:
    raise ImportError(
        f"rankfold.integrations: tensorly-torch cannot be imported ({error}); pip install tensorly-torch tensorly."
    ) from None

__all__ = ["from_tltorch", "to_tltorch"]

_CONVOLUTIONS = {1: Conv1d, 2: Conv2d, 3: Conv3d}
_DENSE = "make a plain layer of its dense weight and call rankfold.factorize on that"


@torch.no_grad()
def from_tltorch(layer: nn.Module) -> nn.Module:
    """A layer of tensorly-torch as one of this library that computes the same, with values of its own.

    ========================================  ==================================================================
    ``FactorizedConv``, Tucker                a factorised convolution, with orthonormal factors along all modes
    ``FactorizedConv``, CP                    an ``nn`` convolution whose weight is written in CP
    ``FactorizedLinear``, Tucker or CP        a factorised ``Linear``, if neither side is split into several modes
    ``FactorizedLinear``, BlockTT             a ``TTMatrixLinear``
    ========================================  ==================================================================

    Arguments:
        layer: with one weight (``n_layers=1``).

    Raises:
        OptionError: another layer or factorisation.

    Example:
        >>> import tltorch
        >>> theirs = tltorch.FactorizedLinear((4, 4), (3, 5), factorization="blocktt", rank=2)
        >>> from_tltorch(theirs).value
        TTMatrix(shape=(15, 16), ranks=(2,), out_sizes=(3, 5), in_sizes=(4, 4), float32)
    """
    if not isinstance(layer, tltorch.FactorizedConv | tltorch.FactorizedLinear):
        raise OptionError(
            f"from_tltorch: a {type(layer).__name__} has no counterpart here; pass a FactorizedLinear or "
            "FactorizedConv."
        )
    if layer.n_layers != 1:
        raise OptionError(
            f"from_tltorch: the layer holds {layer.n_layers} weights in one tensor; pass one that has a weight of "
            "its own."
        )
    result = _convolution(layer) if isinstance(layer, tltorch.FactorizedConv) else _linear(layer)
    if layer.bias is not None:
        result.bias = nn.Parameter(layer.bias.detach().clone())
    return result.train(layer.training)


@torch.no_grad()
def to_tltorch(layer: nn.Module, *, implementation: str = "factorized") -> nn.Module:
    """A factorised layer as one of tensorly-torch that computes the same, with values of its own.

    Arguments:
        layer: ``Linear``, ``TTMatrixLinear``, or a convolution without groups that pads by a number of zeros.
        implementation: ``'factorized'`` or ``'reconstructed'``, how their layer computes.

    Raises:
        OptionError: another layer.

    Example:
        >>> ours = Linear(8, 6, rank=2)
        >>> type(to_tltorch(ours).weight).__name__
        'TuckerTensorized'
    """
    bias = getattr(layer, "bias", None)
    if isinstance(layer, Linear | TTMatrixLinear):
        result = _their_linear(layer, implementation)
    elif isinstance(layer, Conv1d | Conv2d | Conv3d):
        if layer.groups != 1 or layer.padding_mode != "zeros" or isinstance(layer.padding, str):
            raise OptionError(
                f"to_tltorch: a convolution with groups={layer.groups}, padding={layer.padding!r} and padding_mode="
                f"{layer.padding_mode!r} has no counterpart there; pass one of one group that pads by numbers."
            )
        value = layer.tucker
        factors = [
            torch.eye(size).to(value.core) if factor is None else factor
            for size, factor in zip(value.core.shape, value.factors, strict=True)
        ]
        weight = tltorch.TuckerTensor(_own(value.core), [_own(factor) for factor in factors])
        result = tltorch.FactorizedConv.from_factorization(
            weight,
            implementation=implementation,
            stride=layer.stride,
            padding=layer.padding,
            dilation=layer.dilation,
            bias=None if bias is None else bias.detach().clone(),
        )
    else:
        raise OptionError(
            f"to_tltorch: a {type(layer).__name__} has no counterpart there; pass a Linear, TTMatrixLinear or "
            "convolution."
        )
    return result.train(layer.training)


def _convolution(layer: Any) -> nn.Module:
    value: Any = from_tensorly(layer.weight) if layer.weight._name.lower() in ("tucker", "cp") else None
    if value is None or layer.order not in _CONVOLUTIONS:
        raise OptionError(
            f"from_tltorch: a convolution of order {layer.order} in {layer.weight._name} has no counterpart here; "
            f"{_DENSE}."
        )
    outputs, inputs, *kernel = value.shape
    arguments: dict[str, Any] = {
        name: tuple(getattr(layer, name).tolist()) for name in ("stride", "padding", "dilation")
    }
    arguments |= {"bias": layer.bias is not None, "dtype": value.dtype, "device": value.device}
    kind = _CONVOLUTIONS[layer.order]
    if isinstance(value, CP):
        plain = kind.dense_class(inputs, outputs, tuple(kernel), **arguments)
        return write_weight(plain, value)
    ours: Any = kind(
        inputs, outputs, tuple(kernel), rank=1, modes=tuple(range(len(value.shape))), **arguments
    )
    ours.assign(value.orthonormalize())
    return ours


def _linear(layer: Any) -> nn.Module:
    rows, columns = layer.weight.tensorized_shape
    factors = from_tensorly(layer.weight)
    bias = layer.bias is not None
    if isinstance(factors, TTMatrix):
        result: Any = TTMatrixLinear(
            factors.shape[1],
            factors.shape[0],
            rank=1,
            bias=bias,
            out_sizes=factors.out_sizes,
            in_sizes=factors.in_sizes,
            dtype=factors.dtype,
            device=factors.device,
        )
        result.assign(TTMatrix(tuple(core.detach().clone() for core in factors.cores)))
        return result
    if len(rows) > 1 or len(columns) > 1 or not isinstance(factors, CP | Tucker):
        raise OptionError(
            f"from_tltorch: a weight in {layer.weight._name} over modes {tuple(rows)} and {tuple(columns)} has no "
            f"counterpart here; {_DENSE}."
        )
    if isinstance(factors, CP):
        factors = Tucker(torch.diag(factors.weights), factors.factors)
    value = factors.orthonormalize()
    ours = Linear(value.shape[1], value.shape[0], rank=1, bias=bias, dtype=value.dtype, device=value.device)
    ours.assign(value)
    return ours


def _their_linear(layer: Linear | TTMatrixLinear, implementation: str) -> nn.Module:
    if isinstance(layer, TTMatrixLinear):
        rows, columns = layer.out_sizes, layer.in_sizes
        weight: Any = tltorch.BlockTT(
            [_own(core) for core in layer.parts.values()], (rows, columns), (1, *layer.ranks, 1)
        )
    else:
        rows, columns = (layer.weight_shape[0],), (layer.weight_shape[1],)
        factors = [_own(factor) for factor in layer.factors.values()]
        weight = tltorch.TuckerTensorized(_own(layer.core), factors, (rows, columns), rank=layer.ranks)
    result = tltorch.FactorizedLinear(
        columns, rows, bias=layer.bias is not None, factorization=weight, implementation=implementation
    )
    if layer.bias is not None:
        result.bias = _own(layer.bias)
    return result


def _own(tensor: torch.Tensor) -> nn.Parameter:
    return nn.Parameter(tensor.detach().clone().contiguous())
