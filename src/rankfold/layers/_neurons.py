"""Where the neurons of a layer are in its weight.

Axes: N neurons (outputs), D fan-in per group.
"""

import math
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

__all__ = ["NeuronLayout", "neuron_layout"]

_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_ROWS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


@dataclass(frozen=True, slots=True)
class NeuronLayout:
    """How the weight of a layer holds one vector per output.

    Arguments:
        shape: of the weight: ``(outputs, inputs per group, *kernel)``; where transposed
            ``(inputs, outputs per group, *kernel)``.
        groups: of the convolution, 1 for others.
        transposed: whether inputs come first.
    """

    shape: tuple[int, ...]
    groups: int = 1
    transposed: bool = False

    @property
    def fan_in(self) -> int:
        """D, the length of a neuron: inputs per group times entries of the kernel."""
        inputs = self.shape[0] // self.groups if self.transposed else self.shape[1]
        return inputs * math.prod(self.shape[2:])

    def neurons(self, weight: Tensor) -> Tensor:
        """The neurons ``(N, D)`` as rows of a matrix, group after group."""
        if not self.transposed:
            return weight.flatten(1)
        inputs, outputs = self.shape[0] // self.groups, self.shape[1]
        grouped = weight.reshape(self.groups, inputs, outputs, math.prod(self.shape[2:]))
        return grouped.transpose(1, 2).reshape(self.groups * outputs, self.fan_in)

    def weight(self, neurons: Tensor) -> Tensor:
        """The weight that holds the neurons ``(N, D)``."""
        if not self.transposed:
            return neurons.reshape(self.shape)
        inputs, outputs = self.shape[0] // self.groups, self.shape[1]
        grouped = neurons.reshape(self.groups, outputs, inputs, math.prod(self.shape[2:]))
        return grouped.transpose(1, 2).reshape(self.shape)


def neuron_layout(module: nn.Module) -> NeuronLayout | None:
    """The layout of a linear layer or convolution, transposed or not; None for every other class."""
    if not isinstance(module, _ROWS + _TRANSPOSED):
        return None
    weight: Any = module.weight
    return NeuronLayout(
        tuple(weight.shape), int(getattr(module, "groups", 1)), isinstance(module, _TRANSPOSED)
    )
