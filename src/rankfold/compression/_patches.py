"""What the weight of a layer is multiplied with: inputs as rows of channels and window positions."""

from collections.abc import Iterator
from math import prod
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["for_products", "gradient_rows", "is_lookup", "patches", "window_size"]

# A rule of one's own may convert those of one and three dimensions.
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
# Numbers in the patches that are made at once, 64 MiB in float32: an image is as many times larger in patches
# as its window has positions.
_MOST_NUMBERS = 1 << 24
# Between these, sums of squares stay within the range of float32, 1e-38 to 3e38, and so do those of smaller entries.
_LEAST, _LARGEST = 1e-12, 1e15


def is_lookup(module: nn.Module) -> bool:
    """Whether the layer's inputs are indices."""
    return isinstance(module, nn.Embedding)


def window_size(module: nn.Module) -> int:
    """Number of window positions that are seen at once: 1 for transposed convolutions."""
    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        return prod(module.kernel_size)
    return 1


def patches(module: nn.Module, given: Tensor) -> Iterator[Tensor]:
    """Inputs of a layer as rows, in parts of bounded size.

    Arguments:
        module: a linear layer or a convolution, transposed or not.
        given: its input.

    Returns:
        Tensors ``(positions, channels of one group, window)``, of every group alike.
    """
    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        yield from _windows(module, given)
    elif isinstance(module, _TRANSPOSED):
        batch = given if given.ndim == len(module.kernel_size) + 2 else given.unsqueeze(0)
        yield batch.movedim(1, -1).reshape(-1, batch.shape[1], 1)
    else:
        yield given.reshape(-1, given.shape[-1], 1)


def _windows(module: Any, given: Tensor) -> Iterator[Tensor]:
    dimension = len(module.kernel_size)
    batch = given if given.ndim == dimension + 2 else given.unsqueeze(0)
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    pad = module._reversed_padding_repeated_twice
    numbers = batch[0].numel() * window_size(module) if len(batch) else 1
    for part in batch.split(max(_MOST_NUMBERS // max(numbers, 1), 1)):
        padded = F.pad(part, pad, mode=mode) if any(pad) else part
        for axis in range(dimension):
            dilation = module.dilation[axis]
            extent = dilation * (module.kernel_size[axis] - 1) + 1
            padded = padded.unfold(2 + axis, extent, module.stride[axis])[..., ::dilation]
        # (N, C, outputs..., window...) -> one row per sample, group and output
        grouped = padded.unflatten(1, (module.groups, -1)).movedim(2, 2 + dimension)
        yield grouped.flatten(0, 1 + dimension).flatten(2)


def for_products(tensor: Tensor) -> Tensor:
    """A tensor in float32 or more: in float64 where its squares would leave the range of float32.

    Example:
        >>> for_products(torch.tensor([1e25])).dtype, for_products(torch.tensor([2.0]).half()).dtype
        (torch.float64, torch.float32)
    """
    tensor = tensor.to(torch.promote_types(tensor.dtype, torch.float32))
    if tensor.numel() == 0:
        return tensor
    least, most = tensor.aminmax()
    largest = float(torch.maximum(-least, most))
    return tensor.double() if 0 < largest < _LEAST or largest > _LARGEST else tensor


def gradient_rows(module: nn.Module, gradient: Tensor) -> Tensor:
    """Gradients of a layer's output as rows of output channels."""
    if isinstance(module, (nn.Conv1d, nn.Conv2d, nn.Conv3d, *_TRANSPOSED)):
        dimension = len(module.kernel_size)
        batch = gradient if gradient.ndim == dimension + 2 else gradient.unsqueeze(0)
        return batch.movedim(1, -1).reshape(-1, batch.shape[1])
    return gradient.reshape(-1, gradient.shape[-1])
