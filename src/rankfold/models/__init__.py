"""Reference networks of the low-rank training papers, as plain modules and as data in one registry."""

from rankfold.models._alexnet import AlexNet
from rankfold.models._lenet import LeNet5
from rankfold.models._mlp import MLP
from rankfold.models._models import MODELS, ModelInfo, build_model
from rankfold.models._resnet import ResNet18, ResNet20
from rankfold.models._vgg import VGG16

__all__ = [
    "MLP",
    "MODELS",
    "VGG16",
    "AlexNet",
    "LeNet5",
    "ModelInfo",
    "ResNet18",
    "ResNet20",
    "build_model",
]
