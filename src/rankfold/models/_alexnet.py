"""AlexNet in its form for 32x32 images."""

from torch import Tensor, nn

__all__ = ["AlexNet"]

# Output channels, stride and whether a pooling follows; kernels are 3x3. The stem has stride 2 where the
# original for 224x224 has 11x11 kernels of stride 4. The values are those of the network that the code of
# Schotthöfer et al. 2022 trains on CIFAR-10 (github.com/COMPiLELab/DLRT-Net).
_CONVOLUTIONS = ((64, 2, True), (192, 1, True), (384, 1, False), (256, 1, False), (256, 1, True))
_HIDDEN = 4096  # Krizhevsky, Sutskever, Hinton 2012, section 3.5
_DROPOUT = 0.2  # the same code; the original, which has no batch normalisation, drops 0.5


class AlexNet(nn.Module):
    """AlexNet for 3x32x32 images: five convolutions with batch normalisation, three linear layers.

    Arguments:
        classes: number of outputs, at least 1.
        dropout: probability in [0, 1] that an input of the two hidden linear layers is dropped in training.

    Reference:
        Krizhevsky, Sutskever, Hinton 2012, "ImageNet classification with deep convolutional neural networks",
        in the CIFAR-10 form of Schotthöfer et al. 2022, "Low-rank lottery tickets".

    Example:
        >>> import torch
        >>> AlexNet().eval()(torch.zeros(2, 3, 32, 32)).shape
        torch.Size([2, 10])
    """

    def __init__(self, classes: int = 10, dropout: float = _DROPOUT) -> None:
        super().__init__()
        features: list[nn.Module] = []
        channels = 3
        for width, stride, pooled in _CONVOLUTIONS:
            features += [nn.Conv2d(channels, width, 3, stride, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            features += [nn.MaxPool2d(2)] if pooled else []
            channels = width
        self.features = nn.Sequential(*features)
        self.classifier = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(2 * 2 * channels, _HIDDEN),  # 32 -> 16 by the stride, -> 8 -> 4 -> 2 by pooling
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(_HIDDEN, _HIDDEN),
            nn.ReLU(),
            nn.Linear(_HIDDEN, classes),
        )

    def forward(self, inputs: Tensor) -> Tensor:
        """Map images ``(N, 3, 32, 32)`` to logits ``(N, classes)``."""
        return self.classifier(self.features(inputs).flatten(1))
