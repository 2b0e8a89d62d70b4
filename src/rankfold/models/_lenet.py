"""LeNet-5 in the form of the Caffe tutorial, the one the low-rank training papers mean."""

import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["LeNet5"]


class LeNet5(nn.Module):
    """LeNet-5 for 28x28 images: two convolutions and two linear layers, 430,500 weights and 580 biases.

    Arguments:
        classes: number of outputs, at least 1.
        channels: number of input channels, at least 1.

    Reference:
        LeCun, Bottou, Bengio, Haffner 1998, "Gradient-based learning applied to document recognition", with
        the widths 20, 50, 500 of Caffe's ``examples/mnist/lenet.prototxt``; 430,500 is the parameter count of
        the full network in Schotthöfer et al. 2022, "Low-rank lottery tickets".

    Example:
        >>> import torch
        >>> LeNet5()(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """

    def __init__(self, classes: int = 10, channels: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 20, 5)
        self.conv2 = nn.Conv2d(20, 50, 5)
        # Twice a 5x5 convolution without padding and halving: 28 -> 24 -> 12 -> 8 -> 4, hence 4 * 4 * 50.
        self.linear1 = nn.Linear(800, 500)
        self.linear2 = nn.Linear(500, classes)

    def forward(self, inputs: Tensor) -> Tensor:
        """Map images ``(N, channels, 28, 28)`` to logits ``(N, classes)``."""
        hidden = F.max_pool2d(F.relu(self.conv1(inputs)), 2)
        hidden = F.max_pool2d(F.relu(self.conv2(hidden)), 2)
        return self.linear2(F.relu(self.linear1(hidden.flatten(1))))
