"""Weights that are a fixed matrix turned by a learned orthogonal one, as a parametrisation of torch.

Axes: N neurons (outputs), D fan-in per group, K coordinates that are turned.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from rankfold._errors import OptionError, ShapeError
from rankfold.layers._neurons import NeuronLayout
from rankfold.layers._parametrized import multiply_out
from rankfold.layers._require import require_module
from rankfold.linalg import ORTHOGONAL_MAPS, matrix_dtype

__all__ = [
    "OrthogonalWeight",
    "merge_orthogonal",
    "orthogonal_matrices",
    "orthogonal_weights",
    "redraw_blocks",
]


class OrthogonalWeight(nn.Module):
    """Parametrisation ``W = R V``: the neurons V of a layer stay as they are, and one orthogonal R turns them all.

    A neuron is the vector that one output multiplies its inputs with; its length D is the fan-in of the layer, per
    group. R keeps the lengths of the neurons and the angles between them, and so their hyperspherical energy. It is
    ``(D, D)``, whatever the number of neurons, and shared by all groups of a grouped convolution.

    It is registered by :func:`rankfold.convert.orthogonalize`, with ``torch.nn.utils.parametrize``: the weight
    parameter becomes the free matrix that R is computed from, ``layer.parametrizations.weight.original``. A value
    assigned to ``layer.weight`` becomes V, and R the identity. R is computed anew whenever the weight is read, in
    O(D³); ``torch.nn.utils.parametrize.cached()`` keeps it for a while.

    Weight decay acts on the free matrix: with ``cayley`` it draws R towards the identity; ``gram_schmidt``,
    ``householder`` and ``loewdin`` do not depend on the scale of theirs, so that decay changes but the speed of
    learning; with ``direct`` it leaves the orthogonal matrices, and should be off.

    Arguments:
        layout: how the weight holds its neurons.
        map: name in :data:`rankfold.linalg.ORTHOGONAL_MAPS`.
        block: number K of coordinates that R turns while it leaves the others alone, or None for all D.
        generator: source of the coordinates; None is torch's global one.

    Raises:
        OptionError: unknown map, or a block that is no whole number in 2..D.

    Reference:
        Liu et al. 2021, "Orthogonal Over-Parameterized Training" (the block: stochastic OPT).
    """

    neurons: Tensor
    coordinates: Tensor | None

    def __init__(
        self,
        layout: NeuronLayout,
        map: str = "cayley",
        *,
        block: int | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.layout, self.map, self.block = layout, ORTHOGONAL_MAPS[map].name, block
        if block is not None and (
            isinstance(block, bool) or not isinstance(block, int) or not 2 <= block <= layout.fan_in
        ):
            raise OptionError(
                f"OrthogonalWeight: block must be a whole number in 2..{layout.fan_in}, the fan-in, got {block!r}; "
                "pass such a number, or None for all."
            )
        drawn = None if block is None else self._draw(generator)
        self.register_buffer("coordinates", drawn)
        self.register_buffer("neurons", None)

    def forward(self, free: Tensor) -> Tensor:
        """The weight of the layer.

        Arguments:
            free: ``(K, K)``, what R is computed from.
        """
        with torch.autocast(free.device.type, enabled=False):
            rotation = self.rotation(free)
            neurons_ND = self.neurons.to(rotation.dtype)
            if self.coordinates is None:
                turned_ND = neurons_ND @ rotation.mT
            else:
                part_NK = neurons_ND.index_select(1, self.coordinates) @ rotation.mT
                turned_ND = neurons_ND.index_copy(1, self.coordinates, part_NK)
        return self.layout.weight(turned_ND.to(self.neurons.dtype))

    def right_inverse(self, weight: Tensor) -> Tensor:
        """Take a weight for V, in full, and give the free matrix of the identity."""
        if tuple(weight.shape) != self.layout.shape:
            raise ShapeError(
                f"OrthogonalWeight: got a weight of shape {tuple(weight.shape)}, allowed is {self.layout.shape}; pass "
                "one of that shape."
            )
        self.neurons = self.layout.neurons(weight).detach().clone()
        if self.coordinates is not None:
            self.coordinates = self.coordinates.to(weight.device)
        size = self.layout.fan_in if self.block is None else self.block
        identity = torch.eye(size, dtype=weight.dtype, device=weight.device)
        return ORTHOGONAL_MAPS[self.map].start(identity)

    def rotation(self, free: Tensor) -> Tensor:
        """The orthogonal matrix ``(K, K)`` that a free one stands for, in float32 or float64."""
        return ORTHOGONAL_MAPS[self.map].build(free.to(matrix_dtype(free)))

    def redraw(self, generator: torch.Generator | None = None) -> None:
        """Turn other coordinates from now on; whoever calls it assigns the weight as it was (:func:`redraw_blocks`)."""
        if self.coordinates is not None:
            self.coordinates = self._draw(generator).to(self.coordinates.device)

    def _draw(self, generator: torch.Generator | None) -> Tensor:
        device = "cpu" if generator is None else generator.device
        chosen = torch.randperm(self.layout.fan_in, generator=generator, device=device)[: self.block]
        return chosen.sort().values

    def extra_repr(self) -> str:
        """What the printed module tells."""
        turned = f", block={self.block}" if self.block is not None else ""
        return f"fan_in={self.layout.fan_in}, map={self.map!r}{turned}"


def orthogonal_weights(model: nn.Module) -> Iterator[tuple[str, nn.Module, OrthogonalWeight, Tensor]]:
    """Name, layer, parametrisation and free matrix of every weight of a model that is ``R V``."""
    require_module(model, "orthogonal_weights")
    for name, module in model.named_modules():
        if parametrize.is_parametrized(module, "weight"):
            listed: Any = module.parametrizations
            first = listed["weight"][0]
            if isinstance(first, OrthogonalWeight):
                yield name, module, first, listed["weight"].original


def orthogonal_matrices(model: nn.Module) -> dict[str, Tensor]:
    """The orthogonal matrix of every layer that has one, by the name of the layer; differentiable.

    Arguments:
        model: any module.

    Returns:
        ``(D, D)`` each; the identity outside the coordinates of a block.

    Example:
        >>> from rankfold.convert import orthogonalize
        >>> from rankfold.layers import orthogonal_matrices
        >>> model = nn.Sequential(nn.Linear(3, 5))
        >>> rows = orthogonalize(model)
        >>> torch.equal(orthogonal_matrices(model)["0"], torch.eye(3))
        True
    """
    matrices = {}
    for name, _, weight, free in orthogonal_weights(model):
        rotation = weight.rotation(free)
        if weight.coordinates is not None:
            whole = torch.eye(weight.layout.fan_in, dtype=rotation.dtype, device=rotation.device)
            rows = weight.coordinates
            rotation = whole.index_put((rows.unsqueeze(1), rows.unsqueeze(0)), rotation)
        matrices[name] = rotation
    return matrices


def merge_orthogonal(model: nn.Module) -> nn.Module:
    """Multiply every R into its V, in place: plain layers again, of the same classes and the same outputs.

    Parameters keep their identity, but a weight has another shape than its free matrix had: make the optimiser anew.

    Arguments:
        model: what :func:`rankfold.convert.orthogonalize` converted; other models stay as they are.

    Returns:
        The model.

    Example:
        >>> from rankfold.convert import orthogonalize
        >>> from rankfold.layers import merge_orthogonal
        >>> model = nn.Sequential(nn.Linear(3, 5))
        >>> rows = orthogonalize(model)
        >>> type(merge_orthogonal(model)[0])
        <class 'torch.nn.modules.linear.Linear'>
    """
    for _, module, _, _ in list(orthogonal_weights(model)):
        multiply_out(module, "weight")
    return model


@torch.inference_mode(False)  # neurons made in inference mode could never be trained with again
@torch.no_grad()
def redraw_blocks(
    model: nn.Module,
    *,
    generator: torch.Generator | None = None,
    optimizer: torch.optim.Optimizer | None = None,
) -> None:
    """End an episode of stochastic OPT: multiply every R into its V and draw the coordinates of the next block.

    No weight changes beyond rounding. Layers without blocks are merged and go on from the identity too.

    Arguments:
        model: what :func:`rankfold.convert.orthogonalize` converted with a ``block``.
        generator: source of the coordinates; None is torch's global one.
        optimizer: its state of the free matrices is dropped, because momentum speaks of the former coordinates.

    Example:
        >>> from rankfold.convert import orthogonalize
        >>> from rankfold.layers import redraw_blocks
        >>> model = nn.Sequential(nn.Linear(8, 5))
        >>> rows = orthogonalize(model, block=0.25)
        >>> model[0].parametrizations.weight.original.shape
        torch.Size([2, 2])
        >>> redraw_blocks(model)
    """
    for _, module, weight, free in orthogonal_weights(model):
        now: Any = module.weight
        weight.redraw(generator)
        module.weight = now
        free.grad = None
        if optimizer is not None:
            optimizer.state.pop(free, None)
