"""Adapters that turn the neurons of a frozen layer: block-wise rotations, and products of reflections.

Axes: N neurons (outputs), D fan-in, B blocks of size K, M reflections.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from rankfold._checks import check_count
from rankfold._errors import OptionError
from rankfold.adapters._change import Change
from rankfold.convert import Candidate
from rankfold.layers import NeuronLayout, TransposedLinear, neuron_layout
from rankfold.linalg import cayley, matrix_dtype

__all__ = ["Reflections", "ReflectionsChange", "Rotations", "RotationsChange"]


class _Turned(Change):
    """A change that turns each neuron by the same orthogonal matrix."""

    def __init__(self, layout: NeuronLayout) -> None:
        super().__init__()
        self.layout = layout

    def changed(self, weight: Tensor) -> Tensor:
        """The weight with every neuron turned."""
        neurons = self.layout.neurons(weight.to(matrix_dtype(weight)))
        with torch.autocast(weight.device.type, enabled=False):
            return self.layout.weight(self.turned(neurons))

    def turned(self, neurons_ND: Tensor) -> Tensor:
        """The rows, turned."""
        raise NotImplementedError


class RotationsChange(_Turned):
    """Blocks of K neighbouring inputs, each turned by a rotation of its own.

    Arguments:
        layout: how the weight holds its neurons.
        block: K, a divisor of D.
        device: of the parameter ``free`` ``(B, K, K)``, of which the entries above the diagonal count.
    """

    def __init__(self, layout: NeuronLayout, block: int, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__(layout)
        shape = (layout.fan_in // block, block, block)
        self.free = nn.Parameter(torch.zeros(shape, device=device, dtype=dtype))

    def turned(self, neurons_ND: Tensor) -> Tensor:
        """The rows, block by block times a rotation."""
        blocks_NBK = neurons_ND.unflatten(1, self.free.shape[:2])
        rotations_BKK = cayley(self.free.to(neurons_ND.dtype))
        return torch.einsum("nbk,blk->nbl", blocks_NBK, rotations_BKK).flatten(1)


class ReflectionsChange(_Turned):
    """One orthogonal matrix that is a product of Householder reflections.

    Arguments:
        layout: how the weight holds its neurons.
        vectors: ``(M, D)``, those of the reflections, none of them zero.
    """

    def __init__(self, layout: NeuronLayout, vectors: Tensor) -> None:
        super().__init__(layout)
        self.vectors = nn.Parameter(vectors)

    def turned(self, neurons_ND: Tensor) -> Tensor:
        """The rows, reflected at one plane after the other."""
        unit_MD = nn.functional.normalize(self.vectors.to(neurons_ND.dtype), dim=1, eps=0.0)
        for unit_D in unit_MD:
            neurons_ND = neurons_ND - 2 * torch.outer(neurons_ND @ unit_D, unit_D)
        return neurons_ND


@dataclass(frozen=True, slots=True)
class Rotations:
    """Adapters ``R W`` with R block-diagonal and orthogonal, by Cayley's map; the identity at the start.

    Lengths of neurons stay, and so do the angles between neurons within each block of inputs.

    Arguments:
        block: size of the blocks, a divisor of the fan-in.

    Raises:
        OptionError: no whole number of at least 2.

    Reference:
        Qiu et al. 2023, "Controlling text-to-image diffusion by orthogonal finetuning" (OFT); Liu et al. 2021,
        "Orthogonal Over-Parameterized Training" (Cayley's map).

    Example:
        >>> Rotations(block=16)
        Rotations(block=16)
    """

    name: ClassVar[str] = "rotations"
    summary: ClassVar[str] = "neurons turned by block-diagonal rotations (OFT, Cayley)"
    block: int = 32

    def __post_init__(self) -> None:
        check_count("adapters.Rotations", "block", self.block, 2)

    def changes(
        self, candidates: Sequence[Candidate], generator: torch.Generator | None
    ) -> list[Change | str]:
        """One change per layer whose fan-in is a multiple of the block."""
        return [self._change(candidate) for candidate in candidates]

    def _change(self, candidate: Candidate) -> Change | str:
        layout, weight = _layout(candidate), candidate.weight
        assert weight is not None
        if isinstance(layout, str):
            return layout
        if layout.fan_in % self.block:
            return f"its fan-in {layout.fan_in} is no multiple of the block {self.block}"
        return RotationsChange(layout, self.block, weight.device, matrix_dtype(weight))


@dataclass(frozen=True, slots=True)
class Reflections:
    """Adapters ``R W`` with R a product of Householder reflections; pairs of equal ones, the identity, at the start.

    Arguments:
        count: number of reflections, even.

    Raises:
        OptionError: no even whole number of at least 2.

    Reference:
        Yuan, Liu and Xu 2024, "Bridging the gap between low-rank and orthogonal adaptation via Householder reflection
        adaptation".

    Example:
        >>> Reflections(count=4)
        Reflections(count=4)
    """

    name: ClassVar[str] = "reflections"
    summary: ClassVar[str] = "neurons turned by a product of Householder reflections"
    count: int = 8

    def __post_init__(self) -> None:
        check_count("adapters.Reflections", "count", self.count, 2)
        if self.count % 2:
            raise OptionError(
                f"adapters.Reflections: count must be even, got {self.count}: only pairs can start as the identity; "
                "pass an even number."
            )

    def changes(
        self, candidates: Sequence[Candidate], generator: torch.Generator | None
    ) -> list[Change | str]:
        """One change per layer."""
        return [self._change(candidate, generator) for candidate in candidates]

    def _change(self, candidate: Candidate, generator: torch.Generator | None) -> Change | str:
        layout, weight = _layout(candidate), candidate.weight
        assert weight is not None
        if isinstance(layout, str):
            return layout
        source = weight.device if generator is None else generator.device
        half = torch.randn(self.count // 2, layout.fan_in, generator=generator, device=source)
        # Neighbours are equal, so that each undoes the one before it.
        vectors = half.repeat_interleave(2, dim=0)
        return ReflectionsChange(layout, vectors.to(weight.device, matrix_dtype(weight)))


def _layout(candidate: Candidate) -> NeuronLayout | str:
    """Where the neurons of a layer are, or why it has none that could be turned."""
    weight = candidate.weight
    assert weight is not None
    if candidate.rule.layer is TransposedLinear:
        layout: NeuronLayout | None = NeuronLayout(tuple(weight.shape), transposed=True)
    else:
        layout = neuron_layout(candidate.module)
    if layout is None:
        return "its rows are looked up: the fan-in is the number of rows, too many to turn"
    return "its fan-in is 1, where there is nothing to turn" if layout.fan_in == 1 else layout
