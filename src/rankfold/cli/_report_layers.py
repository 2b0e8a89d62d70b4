"""The layers of a stored network: parameters, operations and spectra."""

from math import prod

import torch
from torch import Tensor, nn

from rankfold.cli._measure import count_flops, count_parameters
from rankfold.convert._calls import recorded_calls
from rankfold.convert._rules import rule_for
from rankfold.layers import FactorizedLayer, FormatLayer
from rankfold.linalg import left_singular, unfold
from rankfold.ranks import Call
from rankfold.report.page import LayerRecord, ModeSpectrum

__all__ = ["layer_records"]

# Rows of an unfolding above which a dense weight's spectrum is left out: it would take longer than the page is worth
# (choice of this library; 1024 take about a second).
_LARGEST = 1024


def layer_records(network: nn.Module, input_shape: tuple[int, ...]) -> tuple[LayerRecord, ...]:
    """Run one sample of zeros through a network and count what its layers do.

    Arguments:
        network: with its weights, on the CPU; left in eval mode.
        input_shape: of one sample.

    Returns:
        One record per layer that is factorised or could be.
    """
    layers = {
        name: module
        for name, module in network.eval().named_modules()
        if isinstance(module, FormatLayer) or rule_for(module) is not None
    }
    calls = recorded_calls(network, layers.values(), torch.zeros(1, *input_shape))
    return tuple(_record(name, layer, calls[layer]) for name, layer in layers.items())


def _record(name: str, layer: nn.Module, calls: tuple[Call, ...]) -> LayerRecord:
    if isinstance(layer, FormatLayer):
        # Of other formats the report knows the ranks, and the spectrum of the dense weight.
        modes, spectra = (), _dense_spectra(layer.weight)
        if isinstance(layer, FactorizedLayer):
            modes = tuple(layer.modes)
            spectra = _spectra(layer.core, modes, layer.weight_shape)
        return LayerRecord(
            name=name,
            kind=layer.dense_class.__name__,
            shape=layer.weight_shape,
            modes=modes,
            ranks=layer.ranks,
            parameters_dense=count_parameters(layer.dense()),
            parameters=count_parameters(layer),
            flops_dense=_flops(layer.dense().eval(), calls),
            flops=_flops(layer.folded().eval(), calls),
            spectra=spectra,
        )
    weight = layer.weight
    assert isinstance(weight, Tensor)
    parameters, flops = count_parameters(layer), _flops(layer, calls)
    return LayerRecord(
        name=name,
        kind=type(layer).__name__,
        shape=tuple(weight.shape),
        modes=(),
        ranks=None,
        parameters_dense=parameters,
        parameters=parameters,
        flops_dense=flops,
        flops=flops,
        spectra=_dense_spectra(weight),
    )


def _dense_spectra(weight: Tensor) -> tuple[ModeSpectrum, ...]:
    modes = tuple(mode for mode in range(weight.ndim) if mode < 2 and weight.shape[mode] <= _LARGEST)
    return _spectra(weight, modes, tuple(weight.shape))


def _flops(layer: nn.Module, calls: tuple[Call, ...]) -> int | None:
    """Operations per sample; None of a layer that is never called."""
    if not calls:
        return None
    return sum(
        call.times * count_flops(lambda call=call: layer(call.input(), *call.arguments, **call.options))
        for call in calls
    )


def _spectra(tensor: Tensor, modes: tuple[int, ...], shape: tuple[int, ...]) -> tuple[ModeSpectrum, ...]:
    """Of a weight, or of the core that has the same singular values because its factors are orthonormal."""
    tensor = tensor.detach()
    if not tensor.numel() or not bool(tensor.isfinite().all()):
        return ()
    if len(shape) == 2:
        modes = modes[:1]  # the two spectra of a matrix are one
    return tuple(
        ModeSpectrum(
            mode=mode,
            size=min(shape[mode], prod(shape) // shape[mode]),
            values=tuple(left_singular(unfold(tensor, mode), "svd")[1].tolist()),
        )
        for mode in modes
    )
