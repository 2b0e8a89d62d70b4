"""ResNet-18 and ResNet-20 in their forms for 32x32 images."""

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor, nn

from rankfold.models._initialize import initialize_convolutions
from rankfold.models._residual import BasicBlock, PaddingShortcut, projection_shortcut

__all__ = ["ResNet18", "ResNet20"]


class ResNet18(nn.Module):
    """ResNet-18 for 3x32x32 images: a 3x3 stem and four stages of two blocks, 64 to 512 channels wide.

    Arguments:
        classes: number of outputs, at least 1.

    Reference:
        He, Zhang, Ren, Sun 2016, "Deep residual learning for image recognition", table 1; for 32x32 images
        the stem has 3x3 kernels, stride 1 and no pooling, as is usual on CIFAR-10 (11,173,962 parameters).

    Example:
        >>> import torch
        >>> ResNet18().eval()(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.conv1, self.bn1 = _stem(64)
        self.layer1 = _stage(64, 64, 2, 1, projection_shortcut)
        self.layer2 = _stage(64, 128, 2, 2, projection_shortcut)
        self.layer3 = _stage(128, 256, 2, 2, projection_shortcut)
        self.layer4 = _stage(256, 512, 2, 2, projection_shortcut)
        self.linear = nn.Linear(512, classes)
        initialize_convolutions(self)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map images ``(N, 3, 32, 32)`` to logits ``(N, classes)``."""
        hidden = F.relu(self.bn1(self.conv1(inputs)))
        hidden = self.layer4(self.layer3(self.layer2(self.layer1(hidden))))
        return self.linear(hidden.mean((2, 3)))


class ResNet20(nn.Module):
    """ResNet-20 for 3x32x32 images: three stages of three blocks, 16 to 64 channels wide, 269,722 parameters.

    Arguments:
        classes: number of outputs, at least 1.

    Reference:
        He, Zhang, Ren, Sun 2016, "Deep residual learning for image recognition", section 4.2 with n = 3 and
        the parameter-free shortcut (option A); the names of the layers are those of
        github.com/akamaster/pytorch_resnet_cifar10, so that its trained weights load.

    Example:
        >>> import torch
        >>> ResNet20().eval()(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.conv1, self.bn1 = _stem(16)
        self.layer1 = _stage(16, 16, 3, 1, _padding_shortcut)
        self.layer2 = _stage(16, 32, 3, 2, _padding_shortcut)
        self.layer3 = _stage(32, 64, 3, 2, _padding_shortcut)
        self.linear = nn.Linear(64, classes)
        initialize_convolutions(self)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map images ``(N, 3, 32, 32)`` to logits ``(N, classes)``."""
        hidden = F.relu(self.bn1(self.conv1(inputs)))
        hidden = self.layer3(self.layer2(self.layer1(hidden)))
        return self.linear(hidden.mean((2, 3)))


def _stem(width: int) -> tuple[nn.Conv2d, nn.BatchNorm2d]:
    return nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width)


def _padding_shortcut(channels: int, width: int, stride: int) -> nn.Module:
    return PaddingShortcut((width - channels) // 2, stride)


def _stage(
    channels: int, width: int, blocks: int, stride: int, shortcut: Callable[[int, int, int], nn.Module]
) -> nn.Sequential:
    """Blocks of one width; only the first may change the shape, so only it may need a real shortcut."""
    changes = stride != 1 or channels != width
    first = BasicBlock(
        channels, width, stride, shortcut(channels, width, stride) if changes else nn.Identity()
    )
    return nn.Sequential(first, *(BasicBlock(width, width, 1, nn.Identity()) for _ in range(blocks - 1)))
