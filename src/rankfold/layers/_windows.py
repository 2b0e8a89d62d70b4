"""The middle stage of a factorised layer: the core between two ranks, as a small matrix or convolution."""

from dataclasses import dataclass
from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from rankfold.layers._sides import channel_sums, is_channels_last
from rankfold.linalg import product

__all__ = ["ConvolutionWindow", "MatrixWindow", "Window"]


class Window(Protocol):
    """The core as a map from hidden input to hidden output. Not differentiable."""

    def forward(self, hidden: Tensor, core: Tensor, bias: Tensor | None) -> Tensor:
        """Apply the core."""
        ...

    def input_gradient(self, hidden: Tensor, gradient: Tensor, core: Tensor) -> Tensor:
        """Gradient of the hidden input, of which only shape and layout are read."""
        ...

    def core_gradient(
        self, hidden: Tensor, gradient: Tensor, shape: tuple[int, ...], bias: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Gradient of a core of the given shape, and on wish that of the bias."""
        ...


@dataclass(frozen=True, slots=True)
class MatrixWindow:
    """A core that multiplies the last axis.

    Arguments:
        incoming: mode of the core that faces the input.
    """

    incoming: int

    def forward(self, hidden: Tensor, core: Tensor, bias: Tensor | None) -> Tensor:
        """``(..., r_in)`` to ``(..., r_out)``."""
        rows = product(hidden.reshape(-1, hidden.shape[-1]), core.mT if self.incoming else core, bias)
        return rows.view(*hidden.shape[:-1], rows.shape[1])

    def input_gradient(self, hidden: Tensor, gradient: Tensor, core: Tensor) -> Tensor:
        """The adjoint map."""
        rows = product(gradient.reshape(-1, gradient.shape[-1]), core if self.incoming else core.mT)
        return rows.view(hidden.shape)

    def core_gradient(
        self, hidden: Tensor, gradient: Tensor, shape: tuple[int, ...], bias: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Sum over all leading axes."""
        before, after = (t.reshape(-1, t.shape[-1]) for t in (hidden, gradient))
        result = product(after.mT, before) if self.incoming else product(before.mT, after)
        return result, after.sum(0) if bias else None


@dataclass(frozen=True, slots=True)
class ConvolutionWindow:
    """A core that is the weight of a convolution.

    Arguments:
        stride, padding, dilation, output_padding: one number per dimension.
        transposed: whether the convolution is a transposed one.
        groups: number of groups of channels.
        tiled: whether the same core serves every group.
        pad_mode: None, or how the input is padded before (``F.pad``), in place of ``padding``.
        pad: amounts for ``F.pad``.
    """

    stride: tuple[int, ...]
    padding: tuple[int, ...]
    dilation: tuple[int, ...]
    output_padding: tuple[int, ...]
    transposed: bool
    groups: int
    tiled: bool
    pad_mode: str | None = None
    pad: tuple[int, ...] = ()

    def forward(self, hidden: Tensor, core: Tensor, bias: Tensor | None) -> Tensor:
        """Convolve."""
        return torch.convolution(
            self._padded(hidden),
            self._weight(core, hidden),
            bias,
            list(self.stride),
            list(self.padding),
            list(self.dilation),
            self.transposed,
            list(self.output_padding),
            self.groups,
        )

    def input_gradient(self, hidden: Tensor, gradient: Tensor, core: Tensor) -> Tensor:
        """The adjoint convolution, and the adjoint of the padding."""
        if self.pad_mode is None:
            return self._backward(gradient, hidden, self._weight(core, hidden), (True, False))[0]
        with torch.enable_grad():
            leaf = torch.zeros_like(hidden).requires_grad_()
            padded = self._padded(leaf)
        inner = self._backward(gradient, padded.detach(), self._weight(core, hidden), (True, False))[0]
        return torch.autograd.grad(padded, leaf, inner)[0]

    def core_gradient(
        self, hidden: Tensor, gradient: Tensor, shape: tuple[int, ...], bias: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Sum over images, pixels and, where it serves all of them, groups."""
        repeats = self.groups if self.tiled else 1
        # Only shape and layout of the weight are read; laying out what was made otherwise would copy it.
        layout = torch.channels_last if is_channels_last(hidden) else torch.contiguous_format
        placeholder = torch.empty(
            (shape[0] * repeats, *shape[1:]), dtype=hidden.dtype, device=hidden.device, memory_format=layout
        )
        _, weight = self._backward(gradient, self._padded(hidden), placeholder, (False, True))
        if repeats > 1:
            weight = weight.view(repeats, *shape).sum(0)
        return weight, channel_sums(gradient) if bias else None

    def _padded(self, hidden: Tensor) -> Tensor:
        return hidden if self.pad_mode is None else F.pad(hidden, list(self.pad), mode=self.pad_mode)

    def _weight(self, core: Tensor, images: Tensor) -> Tensor:
        if self.tiled and self.groups > 1:
            core = core.repeat(self.groups, *(1,) * (core.ndim - 1))
        return _laid_out_like(images, core)

    def _backward(
        self,
        gradient: Tensor,
        hidden: Tensor,
        weight: Tensor,
        wanted: tuple[bool, bool],
    ) -> tuple[Tensor, Tensor]:
        of_input, of_weight, _ = torch.ops.aten.convolution_backward(
            gradient,
            hidden,
            weight,
            None,
            list(self.stride),
            list(self.padding),
            list(self.dilation),
            self.transposed,
            list(self.output_padding),
            self.groups,
            [*wanted, False],
        )
        return of_input, of_weight


def _laid_out_like(images: Tensor, weight: Tensor) -> Tensor:
    """A weight in the memory format of the images; in another one the output would take the weight's."""
    if is_channels_last(images):
        return weight.contiguous(memory_format=torch.channels_last)
    return weight.contiguous()
