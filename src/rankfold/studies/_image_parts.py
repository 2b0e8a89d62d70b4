"""Small images in three parts: to train on, to choose by, to test on."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from rankfold.data import load_dataset

__all__ = ["ImageParts", "image_parts"]


@dataclass(frozen=True, slots=True)
class ImageParts:
    """Images to train on, held out and to test on, with their labels; the same for every method and seed."""

    train: tuple[Tensor, Tensor]
    held_out: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]
    classes: int


@lru_cache(maxsize=1)  # some hundred cases share it
def image_parts(
    name: str, images: int, held_out: int, pixels: int, data_dir: Path | None, device: torch.device
) -> ImageParts:
    """A data set averaged to ``pixels`` a side, its training images shuffled and divided.

    Arguments:
        name: of :data:`rankfold.data.DATASETS`.
        images: to train on.
        held_out: to choose by; no training image is in both.
        pixels: a side.
        data_dir: folder to search first.
        device: where the parts lie.
    """
    data = load_dataset(name, data_dir=data_dir)
    inputs, test_inputs = (F.adaptive_avg_pool2d(x, pixels) for x in (data.train_inputs, data.test_inputs))
    order = torch.randperm(len(inputs), generator=torch.Generator().manual_seed(0))
    kept, apart = order[:images], order[images : images + held_out]
    trained, chosen, tested = (
        (x.to(device), y.to(device))
        for x, y in (
            (inputs[kept], data.train_targets[kept]),
            (inputs[apart], data.train_targets[apart]),
            (test_inputs, data.test_targets),
        )
    )
    return ImageParts(trained, chosen, tested, data.classes)
