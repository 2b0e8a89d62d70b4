"""ResNet-20 trained on CIFAR-10."""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from benchmarks.networks._cifar10 import cifar10
from benchmarks.networks._files import weights
from benchmarks.networks._network import Examples, Network, NetworkData
from rankfold.models import ResNet20

__all__ = ["RESNET20", "normalized", "resnet20"]

# The weights were trained with the constants of ImageNet.
_MEAN, _DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
_BATCH = 500


def resnet20() -> nn.Module:
    """The network with fresh weights: images ``(N, 3, 32, 32)`` to logits ``(N, 10)``."""
    return ResNet20()


def normalized(pixels: Tensor) -> Tensor:
    """Images in [0, 1] as the network takes them."""
    mean, deviation = (torch.tensor(part).view(-1, 1, 1) for part in (_MEAN, _DEVIATION))
    return (pixels - mean) / deviation


def _read(data_dir: Path | None) -> NetworkData:
    training, test = (Examples((normalized(pixels),), labels) for pixels, labels in cifar10(data_dir))
    return NetworkData(weights(data_dir, "cifar10_resnet20"), training, test)


def _loss(logits: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(logits, targets)


@torch.no_grad()
def _evaluate(model: nn.Module, data: NetworkData, count: int | None = None) -> dict[str, float]:
    """Share of images whose likeliest class is the right one."""
    test = data.test.first(count)
    right = sum(int((model(*inputs).argmax(1) == targets).sum()) for inputs, targets in test.batches(_BATCH))
    return {"accuracy": right / len(test.targets)}


RESNET20 = Network(
    name="resnet20",
    summary="ResNet-20 on CIFAR-10; share of test images classified right",
    source="github.com/akamaster/pytorch_resnet_cifar10, resnet20-12fca82f (BSD-2-Clause)",
    skeleton=resnet20,
    read=_read,
    loss=_loss,
    evaluate=_evaluate,
    higher_is_better=True,
    left_dense=("conv1", "linear"),
    batch=_BATCH,
)
