"""The networks of the study of compression, which of their layers are compressed, and the data they learn."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rankfold._registry import Registry
from rankfold.data import load_dataset
from rankfold.models import build_model

__all__ = ["NETWORKS", "Network", "Split", "compressed_layers", "load_split", "small_vgg"]

_CONVOLUTIONS = (nn.Conv2d,)
# Widths of the 3x3 convolutions of the small VGG, a pooling after each group: choice of this library.
_WIDTHS = ((16,), (32,), (64, 64))


def small_vgg(classes: int, channels: int = 1) -> nn.Sequential:
    """A VGG for images of 14x14 pixels: four 3x3 convolutions with batch normalisation and one linear layer.

    Arguments:
        classes: number of outputs, at least 1.
        channels: number of input channels, at least 1.

    Returns:
        The network, from ``(N, channels, 14, 14)`` to logits ``(N, classes)``; 60,048 weights of convolutions with
        one input channel.

    Example:
        >>> sum(module.weight.numel() for module in small_vgg(10).modules() if isinstance(module, nn.Conv2d))
        60048
    """
    layers: list[nn.Module] = []
    for group in _WIDTHS:
        for width in group:
            layers += [nn.Conv2d(channels, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
            channels = width
        layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(channels, classes))  # 14 -> 7 -> 3 -> 1 pixel


@dataclass(frozen=True, kw_only=True)
class Network:
    """One network of the study.

    Arguments:
        name: the name of its cases.
        title: what the card and the figure call it.
        build: makes it from a number of classes, with fresh weights from PyTorch's global generator.
        dataset: name of its data set.
        compressed: types of the layers that are compressed; only their weights are counted.
        pooled: side of the squares of pixels that are averaged into one; 1 leaves the images alone.
        augmented: whether training images are shifted and mirrored.
        needs_gpu: whether a case takes too long without one.
    """

    name: str
    title: str
    build: Callable[[int], nn.Module]
    dataset: str
    compressed: tuple[type[nn.Module], ...] = _CONVOLUTIONS
    pooled: int = 1
    augmented: bool = False
    needs_gpu: bool = False


def _on_cifar(name: str, title: str) -> Network:
    return Network(
        name=name,
        title=f"{title} on CIFAR-10",
        build=lambda classes: build_model(name, classes=classes),
        dataset="cifar10",
        augmented=True,
        needs_gpu=True,
    )


NETWORKS: Registry[Network] = Registry(
    "network",
    Network(
        name="lenet5",
        title="LeNet-5 on MNIST",
        build=lambda classes: build_model("lenet5", classes=classes),
        dataset="mnist",
        compressed=(nn.Conv2d, nn.Linear),
    ),
    Network(
        name="small_vgg",
        title="small VGG on Fashion-MNIST",
        build=small_vgg,
        dataset="fashion_mnist",
        pooled=2,
    ),
    _on_cifar("vgg16", "VGG-16"),
    _on_cifar("alexnet", "AlexNet"),
    _on_cifar("resnet18", "ResNet-18"),
)


def compressed_layers(network: nn.Module, types: tuple[type[nn.Module], ...]) -> list[nn.Module]:
    """The layers of a dense network that are compressed.

    Arguments:
        network: before any of its layers is replaced.
        types: of the layers.

    Returns:
        The layers, in the order of the network.
    """
    return [module for module in network.modules() if isinstance(module, types)]


@dataclass(frozen=True, eq=False)
class Split:
    """Images to train on, to choose a recipe by, and to measure with.

    Arguments:
        train, held_out, test: inputs ``(N, C, H, W)`` and class numbers ``(N,)``.
        classes: number of classes.
    """

    train: tuple[Tensor, Tensor]
    held_out: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    classes: int

    def to(self, device: torch.device) -> "Split":
        """The split on a device."""
        train, held_out, test = (
            (inputs.to(device), targets.to(device))
            for inputs, targets in (self.train, self.held_out, self.test)
        )
        return Split(train, held_out, test, self.classes)


@lru_cache(maxsize=2)
def load_split(
    name: str,
    data_dir: Path | None,
    images: int | None,
    held_out: int,
    test_images: int | None,
    pooled: int,
) -> Split:
    """Load a data set and hold back the last of its training images.

    Arguments:
        name: of the data set.
        data_dir: folder to search first.
        images: how many of the other training images to keep, from the first; None keeps all.
        held_out: how many are held back, at least 1.
        test_images: how many test images to keep, from the first; None keeps all.
        pooled: side of the squares of pixels that are averaged.

    Returns:
        The split, on the CPU.

    Raises:
        DataError: the data set is not there.
    """
    dataset = load_dataset(name, data_dir=data_dir)
    available = len(dataset.train_targets) - held_out
    count = available if images is None else min(images, available)
    return Split(
        train=(_pooled(dataset.train_inputs[:count], pooled), dataset.train_targets[:count]),
        held_out=(_pooled(dataset.train_inputs[available:], pooled), dataset.train_targets[available:]),
        test=(_pooled(dataset.test_inputs[:test_images], pooled), dataset.test_targets[:test_images]),
        classes=dataset.classes,
    )


def _pooled(inputs: Tensor, side: int) -> Tensor:
    return inputs if side == 1 else F.avg_pool2d(inputs, side)
