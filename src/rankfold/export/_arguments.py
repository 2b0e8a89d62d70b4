"""What a model is called with, at any number of rows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from rankfold._errors import OptionError

__all__ = ["Arguments", "as_arguments"]


@dataclass(frozen=True)
class Arguments:
    """Positional and keyword arguments of a forward; tensors may lie in nested lists and dictionaries.

    Arguments:
        positional: in the order of the forward.
        named: by name.
        rows: the batch size: the first size of the first tensor, shared by every tensor that has it too.
    """

    positional: tuple[Any, ...]
    named: dict[str, Any]
    rows: int

    def leaves(self) -> list[Any]:
        """Tensors and other values, without their nesting."""
        return pytree.tree_leaves((self.positional, self.named))

    def has_batch(self, value: Any) -> bool:
        """Whether a leaf is a tensor with the batch along its first axis."""
        return isinstance(value, Tensor) and value.ndim > 0 and value.shape[0] == self.rows

    def with_rows(self, rows: int) -> "Arguments":
        """The same rows, repeated or cut, so that all values stay in the range that the model takes."""
        index = torch.arange(rows, device="cpu") % self.rows
        positional, named = pytree.tree_map(
            lambda value: value[index] if self.has_batch(value) else value, (self.positional, self.named)
        )
        return Arguments(positional, named, rows)

    @torch.no_grad()
    @torch.autocast("cpu", enabled=False)
    def call(self, network: nn.Module) -> list[Any]:
        """What a network returns for them, without its nesting."""
        return pytree.tree_leaves(network(*self.positional, **self.named))


def as_arguments(where: str, example_inputs: Any) -> Arguments:
    """Read example inputs and bring their tensors to the CPU.

    Arguments:
        where: the caller's name, for the message.
        example_inputs: a tensor, a tuple of positional arguments, or a mapping of keyword arguments.

    Raises:
        OptionError: there is no tensor in them, or none with rows.
    """
    named = isinstance(example_inputs, Mapping)
    given = dict(example_inputs) if named else example_inputs
    if not named and not isinstance(given, tuple):
        given = (given,)
    given = pytree.tree_map(lambda value: value.detach().cpu() if isinstance(value, Tensor) else value, given)
    first = next((value for value in pytree.tree_leaves(given) if isinstance(value, Tensor)), None)
    if first is None or first.ndim == 0 or first.shape[0] == 0:
        got = "no tensor" if first is None else f"a first tensor of shape {tuple(first.shape)}"
        raise OptionError(
            f"{where}: example_inputs has {got}; pass what the model takes, with at least one row along the first "
            "axis of the first tensor."
        )
    return Arguments(() if named else given, given if named else {}, first.shape[0])
