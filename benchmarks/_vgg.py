"""The small VGG of the step benchmarks: dense, in our layers, and in those of TensorLy-Torch."""

from torch import Tensor, nn

from rankfold import Fraction, factorize

__all__ = ["INPUT_SHAPE", "dense_vgg", "factorized_vgg", "tensorly_vgg"]

INPUT_SHAPE = (3, 32, 32)
# Widths of the 3x3 convolutions; a 2x2 pooling stands between two groups.
_GROUPS = ((64, 64), (128, 128), (256, 256), (512, 512))


def dense_vgg(batch_norm: bool = False) -> nn.Sequential:
    """Eight convolutions with ReLU, global average pooling and a linear layer with ten outputs."""
    layers: list[nn.Module] = []
    channels = INPUT_SHAPE[0]
    for group in _GROUPS:
        if layers:
            layers.append(nn.MaxPool2d(2))
        for width in group:
            layers.append(nn.Conv2d(channels, width, 3, padding=1))
            if batch_norm:
                layers.append(nn.BatchNorm2d(width))
            layers.append(nn.ReLU(inplace=True))
            channels = width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 10))


def factorized_vgg(share: float, batch_norm: bool = False) -> nn.Sequential:
    """The same with ranks C * share; the first convolution and the classifier stay dense."""
    model = dense_vgg(batch_norm)
    factorize(model, Fraction(share), exclude=["0", nn.Linear], rescale=True)
    return model


def tensorly_vgg(share: float, batch_norm: bool = False) -> nn.Sequential:
    """The same in TensorLy-Torch: Tucker with whole windows, in its fastest form for training."""
    from tltorch import FactorizedConv

    model = dense_vgg(batch_norm)
    for index, layer in enumerate(model):
        if isinstance(layer, nn.Conv2d) and index > 0:
            rank = (round(layer.out_channels * share), round(layer.in_channels * share), 3, 3)
            model[index] = FactorizedConv.from_conv(
                layer, rank=rank, factorization="tucker", implementation="factorized", decompose_weights=False
            )
            _keep_the_scale(model[index], layer.weight)
    return model


def _keep_the_scale(layer: nn.Module, weight: Tensor) -> None:
    """Give random factors the norm of the dense weight, or activations vanish over eight layers."""
    core = layer.weight.core
    core.data.mul_(weight.detach().norm() / layer.weight.to_tensor().detach().norm())
