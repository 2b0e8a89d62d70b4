"""A multilayer perceptron."""

from collections.abc import Sequence
from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn

from rankfold._errors import OptionError

__all__ = ["MLP"]


class MLP(nn.Module):
    """Linear layers with ReLU between them, over inputs flattened to vectors.

    Arguments:
        widths: number of inputs, of neurons in each hidden layer and of outputs; two or more, each at least
            1.

    Raises:
        OptionError: fewer than two widths, or one below 1.

    Reference:
        784-500-500-10 is the five-layer network of Schotthöfer et al. 2022, "Low-rank lottery tickets",
        cut to two hidden layers.

    Example:
        >>> import torch
        >>> MLP((784, 32, 10))(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """

    def __init__(self, widths: Sequence[int] = (784, 500, 500, 10)) -> None:
        super().__init__()
        if len(widths) < 2 or min(widths) < 1:
            raise OptionError(f"MLP: got widths {tuple(widths)}; pass at least two widths of at least 1.")
        self.layers = nn.ModuleList(nn.Linear(fan_in, fan_out) for fan_in, fan_out in pairwise(widths))

    def forward(self, inputs: Tensor) -> Tensor:
        """Map inputs ``(N, ...)`` with ``widths[0]`` numbers each to logits ``(N, widths[-1])``."""
        hidden = inputs.flatten(1)
        last = len(self.layers) - 1
        for index, layer in enumerate(self.layers):
            hidden = layer(hidden) if index == last else F.relu(layer(hidden))
        return hidden
