"""The two outer stages of a factorised layer: a factor between full dimension and rank.

Axes: n full dimension, r rank, m new columns, G groups. Every side maps ``down`` (n to r) and ``up`` (r to n)
with the same factor (n, r); each map is the other's adjoint, so both serve forward and backward of either stage.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from rankfold.layers._tracing import under_transform
from rankfold.linalg import product

__all__ = ["LookupSide", "MatrixSide", "PointwiseSide", "Side", "channel_sums", "is_channels_last"]

# Channels from which on a 1x1 convolution is slower than the matrix product of the same numbers, in its two other
# forms: at twice this many for the expansion, at four times for the weight gradient.
_BLOCK = 64


def is_channels_last(tensor: Tensor) -> bool:
    """Whether images lie in memory pixel by pixel."""
    return (
        tensor.ndim == 4
        and not under_transform()
        and not tensor.is_contiguous()
        and tensor.is_contiguous(memory_format=torch.channels_last)
    )


def channel_sums(images: Tensor) -> Tensor:
    """Sum over all axes but the channels, several times faster than as a part of a convolution's backward."""
    return images.sum((0, *range(2, images.ndim)))


def _pixels(images: Tensor) -> Tensor:
    return images.permute(0, 2, 3, 1).reshape(-1, images.shape[1])


def _images(pixels: Tensor, like: Tensor) -> Tensor:
    return pixels.view(like.shape[0], *like.shape[2:], -1).permute(0, 3, 1, 2)


class Side(Protocol):
    """One factor as a map; tensors are the layer's own inputs, outputs and hidden values. Not differentiable."""

    def down(self, full: Tensor, factor: Tensor) -> Tensor:
        """From the full dimension to the rank."""
        ...

    def widened(self, reduced: Tensor, full: Tensor, factor: Tensor, fresh: Tensor) -> Tensor:
        """``down`` with further columns ``fresh``, where ``factor`` gave ``reduced`` already."""
        ...

    def up(self, reduced: Tensor, factor: Tensor, bias: Tensor | None = None) -> Tensor:
        """From the rank to the full dimension."""
        ...

    def gradients(
        self, reduced: Tensor, full: Tensor, factor: Tensor, bias: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Gradient of the factor from the two tensors it lies between, and on wish the channels' sums of ``full``."""
        ...


class MatrixSide:
    """A factor acting on the last axis."""

    def down(self, full: Tensor, factor: Tensor) -> Tensor:
        """``(..., n)`` to ``(..., r)``."""
        return product(full.reshape(-1, factor.shape[0]), factor).view(*full.shape[:-1], factor.shape[1])

    def widened(self, reduced: Tensor, full: Tensor, factor: Tensor, fresh: Tensor) -> Tensor:
        """``(..., r)`` and ``(..., n)`` to ``(..., r + m)``."""
        return torch.cat([reduced, self.down(full, fresh)], -1)

    def up(self, reduced: Tensor, factor: Tensor, bias: Tensor | None = None) -> Tensor:
        """``(..., r)`` to ``(..., n)``."""
        rows = product(reduced.reshape(-1, factor.shape[1]), factor.mT, bias)
        return rows.view(*reduced.shape[:-1], factor.shape[0])

    def gradients(
        self, reduced: Tensor, full: Tensor, factor: Tensor, bias: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Sums over all leading axes."""
        rows = full.reshape(-1, full.shape[-1])
        # The product with the narrow operand in front is the faster one in both libraries.
        gradient = product(reduced.reshape(-1, reduced.shape[-1]).mT, rows).mT
        return gradient, rows.sum(0) if bias else None


class LookupSide:
    """A factor of which rows are looked up by index."""

    def down(self, full: Tensor, factor: Tensor) -> Tensor:
        """Integer ``(...)`` to ``(..., r)``."""
        return torch.nn.functional.embedding(full, factor)

    def widened(self, reduced: Tensor, full: Tensor, factor: Tensor, fresh: Tensor) -> Tensor:
        """``(..., r)`` and integer ``(...)`` to ``(..., r + m)``."""
        return torch.cat([reduced, self.down(full, fresh)], -1)

    def up(self, reduced: Tensor, factor: Tensor, bias: Tensor | None = None) -> Tensor:
        """Never asked for: an index has no gradient."""
        raise NotImplementedError

    def gradients(
        self, reduced: Tensor, full: Tensor, factor: Tensor, bias: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Gradients of the looked-up rows, summed in their places; there is no bias."""
        return torch.ops.aten.embedding_dense_backward(reduced, full, factor.shape[0], -1, False), None


@dataclass(frozen=True, slots=True)
class PointwiseSide:
    """A factor as 1x1 convolution.

    Arguments:
        groups: number of groups of channels.
        shared: whether the factor runs over the channels of one group and serves all of them.
    """

    groups: int
    shared: bool

    def down(self, full: Tensor, factor: Tensor) -> Tensor:
        """``(N, C, ...)`` to ``(N, G r, ...)``."""
        if self._is_matrix(full):
            return _images(product(_pixels(full), factor), full)
        ones = (1,) * (full.ndim - 2)
        if self.shared:
            weight = self._tiled(factor.mT).reshape(-1, factor.shape[0], *ones)
        else:
            split = factor.reshape(self.groups, -1, factor.shape[1])
            weight = split.mT.reshape(-1, split.shape[1], *ones)
        return self._convolve(full, weight, None)

    def widened(self, reduced: Tensor, full: Tensor, factor: Tensor, fresh: Tensor) -> Tensor:
        """``(N, G r, ...)`` and ``(N, C, ...)`` to ``(N, G (r + m), ...)``."""
        if self.groups > 1:  # old and new channels alternate by groups
            return self.down(full, torch.cat([factor, fresh], 1))
        return torch.cat([reduced, self.down(full, fresh)], 1)

    def up(self, reduced: Tensor, factor: Tensor, bias: Tensor | None = None) -> Tensor:
        """``(N, G r, ...)`` to ``(N, C, ...)``."""
        if self._is_matrix(reduced) and factor.shape[0] >= 2 * _BLOCK:
            return _images(product(_pixels(reduced), factor.mT, bias), reduced)
        rows = self._tiled(factor) if self.shared else factor
        return self._convolve(reduced, rows.reshape(*rows.shape, *(1,) * (reduced.ndim - 2)), bias)

    def gradients(
        self, reduced: Tensor, full: Tensor, factor: Tensor, bias: bool = False
    ) -> tuple[Tensor, Tensor | None]:
        """Sums over images and pixels."""
        if self._is_matrix(full) and full.shape[1] >= 4 * _BLOCK and is_channels_last(reduced):
            return product(_pixels(reduced).mT, _pixels(full)).mT, channel_sums(full) if bias else None
        dimension = full.ndim - 2
        channels, rank = full.shape[1], factor.shape[1]
        # oneDNN computes the weight gradient of a 1x1 convolution faster with the many channels as
        # outputs, so also the reduction's gradient is taken in the roles of an expansion.
        _, weight, _ = torch.ops.aten.convolution_backward(
            full,
            reduced,
            full.new_empty(channels, rank, *(1,) * dimension),
            None,
            [1] * dimension,
            [0] * dimension,
            [1] * dimension,
            False,
            [0] * dimension,
            self.groups,
            [False, True, False],
        )
        weight = weight.reshape(channels, rank)
        if self.shared and self.groups > 1:
            weight = weight.view(self.groups, -1, rank).sum(0)
        return weight, channel_sums(full) if bias else None

    def _is_matrix(self, images: Tensor) -> bool:
        """Whether the pixels are the rows of a matrix; as such most products are faster."""
        return self.groups == 1 and is_channels_last(images) and images.shape[1] % 16 == 0

    def _tiled(self, matrix: Tensor) -> Tensor:
        return matrix if self.groups == 1 else matrix.repeat(self.groups, 1)

    def _convolve(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        zeros: Any = [0] * (input.ndim - 2)
        ones: Any = [1] * (input.ndim - 2)
        return torch.convolution(input, weight, bias, ones, zeros, ones, False, zeros, self.groups)
