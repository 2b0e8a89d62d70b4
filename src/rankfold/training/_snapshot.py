"""Layers and optimiser state as they were, to go back to when the second half of a step fails."""

from collections.abc import Iterable, MutableMapping
from typing import Any

from torch import Tensor

from rankfold.layers import FactorizedLayer, replace_data
from rankfold.training._transport import set_state

__all__ = ["Snapshot"]


class Snapshot:
    """Holds the tensors of layers, which must be replaced and not changed in place, and the state of their cores.

    Arguments:
        layers: the layers.
        state: the inner optimiser's state.
    """

    def __init__(self, layers: Iterable[FactorizedLayer], state: MutableMapping[Tensor, Any]) -> None:
        self._state = state
        self._kept = [
            (layer, layer.core.data, {m: f.data for m, f in layer.factors.items()}, state.get(layer.core))
            for layer in layers
        ]

    def restore(self) -> None:
        """Put everything back."""
        for layer, core, factors, state in self._kept:
            replace_data(layer.core, core, layer.channels_last)
            for mode, factor in factors.items():
                replace_data(layer.factors[mode], factor)
            set_state(self._state, layer.core, state)
