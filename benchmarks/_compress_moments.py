"""Second moments of what the layers of a network give."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks._compress_chains import Dense

__all__ = ["output_moments"]


@torch.no_grad()
def output_moments(
    model: nn.Module, layers: dict[str, Dense], calls: Iterable[tuple[Tensor, ...]]
) -> dict[str, Tensor]:
    """Sum of ``y yᵀ`` over all outputs ``y`` of a layer, without its bias.

    This is ``W G Wᵀ`` with the layer's matrix W and the second moment G of its inputs, all that whitening needs.

    Arguments:
        model: the network.
        layers: some of its layers, O outputs each.
        calls: arguments of its calls.

    Returns:
        For every layer ``(O, O)``, float64.
    """
    moments: dict[str, Tensor] = {}

    def hook(name: str) -> Callable[[nn.Module, tuple[Any, ...], Tensor], None]:
        def add(module: nn.Module, _: tuple[Any, ...], outputs: Tensor) -> None:
            y = outputs.movedim(-1 if isinstance(module, nn.Linear) else 1, 0).flatten(1).double()
            if isinstance(module.bias, Tensor):
                y = y - module.bias.unsqueeze(1)
            moments[name] = moments.get(name, 0) + y @ y.mT

        return add

    handles = [layer.register_forward_hook(hook(name)) for name, layer in layers.items()]
    try:
        for inputs in calls:
            model(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    return moments
