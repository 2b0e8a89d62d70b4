"""CIFAR-10 as bytes, from compact sheets of images or from the canonical files."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.networks._files import data_root
from rankfold.data import load_dataset

__all__ = ["TRAINING_IMAGES", "cifar10"]

# The first sheet of training images is lossless, the others are not.
TRAINING_IMAGES = 5000
_SIDE, _TILES = 32, 100  # pixels of an image, and images in one row of a sheet
# What load_dataset has subtracted and divided by.
_MEAN, _DEVIATION = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)

Split = tuple[Tensor, Tensor]


def cifar10(data_dir: Path | None) -> tuple[Split, Split]:
    """The first 5,000 training images and all test images.

    Arguments:
        data_dir: folder with ``cifar10/test.webp`` and its like, or with the binary files; None: RANKFOLD_DATA.

    Returns:
        Training and test split, each pixels float32 ``(N, 3, 32, 32)`` in [0, 1] and labels int64 ``(N,)``.
    """
    folder = data_root(data_dir) / "cifar10"
    if not (folder / "test.webp").exists():
        return _canonical(data_dir)
    with np.load(folder / "labels.npz", allow_pickle=False) as file:
        labels = {part: torch.from_numpy(file[part].astype(np.int64)) for part in ("train", "test")}
    training = _sheet(folder / "train_0_lossless.webp")
    return (training, labels["train"][: len(training)]), (_sheet(folder / "test.webp"), labels["test"])


def _sheet(path: Path) -> Tensor:
    """Cut a sheet of images, 100 in a row."""
    from PIL import Image

    with Image.open(path) as image:
        rows = torch.from_numpy(np.array(image.convert("RGB"))).view(-1, _SIDE, _TILES, _SIDE, 3)
    return rows.permute(0, 2, 4, 1, 3).reshape(-1, 3, _SIDE, _SIDE).float() / 255


def _canonical(data_dir: Path | None) -> tuple[Split, Split]:
    data = load_dataset("cifar10", data_dir=data_dir, download=False)
    mean, deviation = (torch.tensor(part).view(-1, 1, 1) for part in (_MEAN, _DEVIATION))

    def pixels(inputs: Tensor) -> Tensor:
        return inputs * deviation + mean

    training = pixels(data.train_inputs[:TRAINING_IMAGES]), data.train_targets[:TRAINING_IMAGES]
    return training, (pixels(data.test_inputs), data.test_targets)
