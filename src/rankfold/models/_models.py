"""The reference networks by name."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

from torch import nn

from rankfold._errors import OptionError
from rankfold._registry import Registry
from rankfold.models._alexnet import AlexNet
from rankfold.models._lenet import LeNet5
from rankfold.models._mlp import MLP
from rankfold.models._resnet import ResNet18, ResNet20
from rankfold.models._vgg import VGG16

__all__ = ["MODELS", "ModelInfo", "build_model"]

Shape = tuple[int, int, int]

_MNIST: Shape = (1, 28, 28)
_CIFAR: Shape = (3, 32, 32)


@dataclass(frozen=True)
class ModelInfo:
    """One reference network.

    Arguments:
        name: the name it is asked for by.
        build: makes the network from a number of classes and the shape ``(C, H, W)`` of one input.
        input_shape: the shape ``(C, H, W)`` it is made for.
        summary: what it is, in one line.
        source: where it was published.
        any_input_shape: whether it can be built for other shapes too.
    """

    name: str
    build: Callable[[int, Shape], nn.Module]
    input_shape: Shape
    summary: str
    source: str
    any_input_shape: bool = False


MODELS: Registry[ModelInfo] = Registry(
    "model",
    ModelInfo(
        name="lenet5",
        build=lambda classes, input_shape: LeNet5(classes, channels=input_shape[0]),
        input_shape=_MNIST,
        summary="two convolutions and two linear layers, the Caffe form (431,080 parameters)",
        source="LeCun et al. 1998; Caffe examples/mnist/lenet.prototxt",
    ),
    ModelInfo(
        name="mlp",
        build=lambda classes, input_shape: MLP((prod(input_shape), 500, 500, classes)),
        input_shape=_MNIST,
        summary="linear layers with two hidden widths of 500, for inputs of any shape",
        source="Schotthöfer et al. 2022",
        any_input_shape=True,
    ),
    ModelInfo(
        name="alexnet",
        build=lambda classes, _: AlexNet(classes),
        input_shape=_CIFAR,
        summary="five convolutions with batch normalisation and three wide linear layers",
        source="Krizhevsky, Sutskever, Hinton 2012; CIFAR-10 form of Schotthöfer et al. 2022",
    ),
    ModelInfo(
        name="vgg16",
        build=lambda classes, _: VGG16(classes),
        input_shape=_CIFAR,
        summary="13 convolutions with batch normalisation and one linear layer",
        source="Simonyan, Zisserman 2014, configuration D",
    ),
    ModelInfo(
        name="resnet18",
        build=lambda classes, _: ResNet18(classes),
        input_shape=_CIFAR,
        summary="four residual stages of 64 to 512 channels with projection shortcuts",
        source="He et al. 2016, table 1, with a 3x3 stem",
    ),
    ModelInfo(
        name="resnet20",
        build=lambda classes, _: ResNet20(classes),
        input_shape=_CIFAR,
        summary="three residual stages of 16 to 64 channels with parameter-free shortcuts",
        source="He et al. 2016, section 4.2",
    ),
)


def build_model(name: str, *, classes: int = 10, input_shape: Shape | None = None) -> nn.Module:
    """Build a reference network by name, with fresh weights from PyTorch's global generator.

    Arguments:
        name: a name in ``MODELS``.
        classes: number of outputs, at least 1.
        input_shape: shape ``(C, H, W)`` of one input of the data set, or None for the shape the network is
            made for.

    Returns:
        The network, from inputs ``(N, C, H, W)`` to logits ``(N, classes)``, in training mode.

    Raises:
        OptionError: an unknown name, fewer than one class, or a shape that the network does not take.

    Reference:
        See ``MODELS[name].source``.

    Example:
        >>> sum(parameter.numel() for parameter in build_model("lenet5").parameters())
        431080
    """
    info = MODELS[name]
    shape = info.input_shape if input_shape is None else tuple(input_shape)
    if classes < 1:
        raise OptionError(f"build_model: got classes={classes}; pass the number of classes, at least 1.")
    if len(shape) != 3 or min(shape) < 1:
        raise OptionError(f"build_model: got input_shape {shape}; pass three sizes (C, H, W) of at least 1.")
    if shape != info.input_shape and not info.any_input_shape:
        fitting = (m.name for m in MODELS.values() if m.any_input_shape or m.input_shape == shape)
        raise OptionError(
            f"build_model: {name} takes inputs of {_text(info.input_shape)}, got {_text(shape)}; use inputs "
            f"of that shape, or a model that takes {_text(shape)}: {', '.join(fitting)}."
        )
    return info.build(classes, shape)


def _text(shape: Shape) -> str:
    return "x".join(str(size) for size in shape)
