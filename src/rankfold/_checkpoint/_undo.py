"""A model and what trains it as they were, to go back to when loading fails half-way."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from rankfold._checkpoint._rebuild import Replacement
from rankfold.convert._replace import replace_module
from rankfold.layers import replace_data

__all__ = ["Undo"]


class Undo:
    """Holds copies of all tensors of a model: hooks and modules of others may fail at any point of loading.

    Arguments:
        model: before anything is changed.
        replacements: the layers about to be replaced.
        trainers: optimiser and schedule, with ``state_dict`` and ``load_state_dict``.
    """

    def __init__(
        self, model: nn.Module, replacements: Sequence[Replacement], trainers: Sequence[Any]
    ) -> None:
        self._model, self._replacements = model, replacements
        tensors = {id(t): t for t in (*model.parameters(), *model.buffers())}
        # What was made in inference mode cannot be written to here.
        self._tensors = [
            (t, t.data, t.detach().clone(), t.grad) for t in tensors.values() if not t.is_inference()
        ]
        self._trainers = [(trainer, trainer.state_dict()) for trainer in trainers]

    @torch.no_grad()
    def restore(self) -> None:
        """Put everything back."""
        for entry in self._replacements:
            if self._model.get_submodule(entry.names[0]) is entry.new:
                replace_module(self._model, entry.names, entry.new, entry.old)
        for tensor, data, values, gradient in self._tensors:
            if isinstance(tensor, nn.Parameter) and tensor.shape != data.shape:
                replace_data(tensor, data)
            tensor.data = data
            tensor.copy_(values)
            tensor.grad = gradient
        for trainer, state in self._trainers:
            trainer.load_state_dict(state)
