"""The distinct convolutions and linear layers of the reference networks, with the shapes of their inputs."""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn

from rankfold.models import MODELS, build_model

__all__ = ["LayerCase", "layer_cases"]


@dataclass(frozen=True)
class LayerCase:
    """One layer of a network.

    Arguments:
        name: network and layer, of the first network that has it.
        module: the layer.
        input_shape: the shape of one input, without the batch.
    """

    name: str
    module: nn.Module
    input_shape: tuple[int, ...]


def layer_cases() -> list[LayerCase]:
    """Run every network once and collect the layers that differ in options or input shape."""
    found: dict[tuple[str, tuple[int, ...]], LayerCase] = {}

    def collect(name: str, module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        shape = tuple(inputs[0].shape[1:])
        found.setdefault((repr(module), shape), LayerCase(name, module, shape))

    for info in MODELS.values():
        network = build_model(info.name).eval()
        handles = [
            module.register_forward_pre_hook(partial(collect, f"{info.name} {name}"))
            for name, module in network.named_modules()
            if isinstance(module, nn.Conv2d | nn.Linear)
        ]
        with torch.no_grad():
            network(torch.zeros(1, *info.input_shape))
        for handle in handles:
            handle.remove()
    return list(found.values())
