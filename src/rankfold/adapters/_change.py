"""What an adapter does to the weight of a frozen layer."""

from typing import Any

import torch
from torch import Tensor, nn

__all__ = ["Change"]


class Change(nn.Module):
    """A trainable change of the weight of one layer; zero, or the identity, at its start.

    A subclass says what the weight becomes; if it knows a cheaper way to run the layer than with that weight, it says
    so as well.
    """

    #: The kind of adapter with its settings, set by :func:`rankfold.adapters.attach`.
    adapter: Any = None

    def changed(self, weight: Tensor) -> Tensor:
        """The weight of the adapted layer.

        Arguments:
            weight: of the frozen layer.

        Returns:
            Of the same shape, in float32 or better.
        """
        raise NotImplementedError

    def run(self, base: nn.Module, *inputs: Any) -> Tensor:
        """Call the frozen layer with its changed weight."""
        weight = base.weight
        assert isinstance(weight, Tensor)
        changed = self.changed(weight).to(weight.dtype)
        return torch.func.functional_call(base, {"weight": changed}, inputs)
