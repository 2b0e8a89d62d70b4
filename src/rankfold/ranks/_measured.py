"""How a model uses its layers, for policies that measure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

__all__ = ["Call", "LayerUse", "MeasuredPolicy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """How a layer was called: what its input looked like, and how often.

    Arguments:
        shape: of the input.
        stride: of the input, which tells its memory format.
        dtype: of the input.
        device: of the input.
        requires_grad: whether a gradient flows to the input.
        values: the input itself where it holds indices, None where any numbers do.
        arguments: what was passed after the input.
        options: what was passed by name.
        outputs: number of elements of its output.
        times: how often the layer was called like this.
    """

    shape: tuple[int, ...]
    stride: tuple[int, ...]
    dtype: torch.dtype
    device: torch.device
    requires_grad: bool = False
    values: Tensor | None = field(default=None, compare=False)
    arguments: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    outputs: int = 0
    times: int = 1

    def input(self) -> Tensor:
        """An input of this form; random numbers that leave the state of the global generator alone."""
        if self.values is not None:
            return self.values
        numbers = torch.empty_strided(self.shape, self.stride, dtype=self.dtype, device=self.device)
        numbers.normal_(generator=torch.Generator(self.device).manual_seed(0))
        return numbers.requires_grad_(self.requires_grad)


@dataclass(frozen=True, slots=True)
class LayerUse:
    """A layer that has the weight a policy is asked about.

    Arguments:
        module: the dense layer.
        build: makes its factorised form along given modes at given ranks, with random values.
        calls: the ways the model calls it; none where it never does, or where the policy has no example inputs.
    """

    module: nn.Module
    build: Callable[[tuple[int, ...], tuple[int, ...]], nn.Module]
    calls: tuple[Call, ...] = ()

    @property
    def is_lookup(self) -> bool:
        """Whether the layer copies rows of the weight instead of multiplying by it."""
        return isinstance(self.module, nn.Embedding)


@runtime_checkable
class MeasuredPolicy(Protocol):
    """A policy that wants to know how the model calls its layers; ``factorize`` runs the model for it.

    Attributes:
        example_inputs: what to run the model on, or None for not at all.
        training: whether the layers matter in training, where gradients flow, or in evaluation.
    """

    example_inputs: Any
    training: bool
