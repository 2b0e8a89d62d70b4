"""He initialisation of convolutions, in place."""

from torch import nn

__all__ = ["initialize_convolutions"]


def initialize_convolutions(model: nn.Module) -> None:
    """Draw every convolution of a ReLU network from the normal distribution of He et al., in place.

    The variance is 2 / (kernel area * output channels), which keeps the size of the gradients from layer to
    layer; biases become zero.

    Arguments:
        model: the module whose ``nn.Conv2d`` are drawn anew from PyTorch's global generator.

    Reference:
        He, Zhang, Ren, Sun 2015, "Delving deep into rectifiers", equation 14 (the backward case), the choice
        of the authors' code fb.resnet.torch for ResNets and of Zagoruyko's cifar.torch for VGG.
    """
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
