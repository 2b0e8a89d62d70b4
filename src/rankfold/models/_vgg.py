"""VGG16 in its form for 32x32 images."""

from torch import Tensor, nn

from rankfold.models._initialize import initialize_convolutions

__all__ = ["VGG16"]

# Widths of the 3x3 convolutions in each block; a 2x2 pooling ends a block.
# Simonyan, Zisserman 2014, table 1, configuration D.
_BLOCKS = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))


class VGG16(nn.Module):
    """VGG16 for 3x32x32 images: 13 convolutions with batch normalisation and one linear layer.

    Arguments:
        classes: number of outputs, at least 1.

    Reference:
        Simonyan, Zisserman 2014, "Very deep convolutional networks for large-scale image recognition",
        configuration D; for 32x32 images the five poolings leave one pixel, so one linear layer replaces the
        three of the original, as is usual on CIFAR-10 (14,728,266 parameters for ten classes).

    Example:
        >>> import torch
        >>> VGG16().eval()(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        features: list[nn.Module] = []
        channels = 3
        for block in _BLOCKS:
            for width in block:
                features += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
                channels = width
            features.append(nn.MaxPool2d(2))
        self.features = nn.Sequential(*features)
        self.classifier = nn.Linear(channels, classes)
        initialize_convolutions(self)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map images ``(N, 3, 32, 32)`` to logits ``(N, classes)``."""
        return self.classifier(self.features(inputs).flatten(1))
