"""The basic residual block and its two shortcuts.

Axes: N images, C channels, H rows, W columns.
"""

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["BasicBlock", "PaddingShortcut", "projection_shortcut"]


class PaddingShortcut(nn.Module):
    """Option A: halve the image by dropping every other pixel, and pad the new channels with zeros.

    Arguments:
        padding: zero channels put before and again after the old ones, at least 0.
        stride: step between the pixels kept, at least 1.

    Reference:
        He, Zhang, Ren, Sun 2016, "Deep residual learning for image recognition", section 4.1, option A.
    """

    def __init__(self, padding: int, stride: int) -> None:
        super().__init__()
        self.padding = padding
        self.stride = stride

    def forward(self, inputs: Tensor) -> Tensor:
        """Map ``(N, C, H, W)`` to ``(N, C + 2 padding, H / stride, W / stride)``."""
        kept = inputs[:, :, :: self.stride, :: self.stride]
        return F.pad(kept, (0, 0, 0, 0, self.padding, self.padding))


def projection_shortcut(channels: int, width: int, stride: int) -> nn.Module:
    """Option B: a 1x1 convolution with batch normalisation where the shape changes.

    Arguments:
        channels: input channels, at least 1.
        width: output channels, at least 1.
        stride: stride of the convolution, at least 1.

    Returns:
        A module from ``(N, channels, H, W)`` to ``(N, width, H / stride, W / stride)``.

    Reference:
        He, Zhang, Ren, Sun 2016, "Deep residual learning for image recognition", section 4.1, option B.
    """
    convolution = nn.Conv2d(channels, width, 1, stride, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(width))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch normalisation, added to a shortcut.

    Arguments:
        channels: input channels, at least 1.
        width: output channels, at least 1.
        stride: stride of the first convolution, at least 1.
        shortcut: what the input goes through before the addition.

    Reference:
        He, Zhang, Ren, Sun 2016, "Deep residual learning for image recognition", figure 2.
    """

    def __init__(self, channels: int, width: int, stride: int, shortcut: nn.Module) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.shortcut = shortcut

    def forward(self, inputs: Tensor) -> Tensor:
        """Map ``(N, channels, H, W)`` to ``(N, width, H / stride, W / stride)``."""
        residual = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(inputs)))))
        return F.relu(residual + self.shortcut(inputs))
