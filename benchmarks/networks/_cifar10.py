"""CIFAR-10 as bytes, from compact sheets of images or from the canonical files."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.networks._files import data_root
from rankfold.data import load_dataset

__all__ = ["TRAINING_IMAGES", "cifar10", "cifar10_training"]

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


def cifar10_training(data_dir: Path | None) -> Split:
    """All 50,000 training images, of which the sheets hold the last 45,000 with loss; the form is that of cifar10."""
    folder = data_root(data_dir) / "cifar10"
    if not (folder / "test.webp").exists():
        data = load_dataset("cifar10", data_dir=data_dir, download=False)
        return _pixels(data.train_inputs), data.train_targets
    with np.load(folder / "labels.npz", allow_pickle=False) as file:
        labels = torch.from_numpy(file["train"].astype(np.int64))
    sheets = [_sheet(folder / f"train_{number}_ycc.webp", planes=True) for number in range(1, 6)]
    return torch.cat([_sheet(folder / "train_0_lossless.webp"), *sheets])[: len(labels)], labels


def _sheet(path: Path, planes: bool = False) -> Tensor:
    """Cut a sheet of images, 100 in a row; as ``planes`` luma and chroma lie below each other (BT.601)."""
    from PIL import Image

    with Image.open(path) as image:
        pixels = np.array(image.convert("RGB"))
    if planes:
        offsets = np.float32([[[0]], [[128]], [[128]]])
        y, cb, cr = pixels[..., 1].astype(np.float32).reshape(3, -1, _SIDE * _TILES) - offsets
        rgb = np.stack([y + 1.402 * cr, y - 0.344136 * cb - 0.714136 * cr, y + 1.772 * cb], -1)
        pixels = np.clip(rgb.round(), 0, 255).astype(np.uint8)
    rows = torch.from_numpy(pixels).view(-1, _SIDE, _TILES, _SIDE, 3)
    return rows.permute(0, 2, 4, 1, 3).reshape(-1, 3, _SIDE, _SIDE).float() / 255


def _canonical(data_dir: Path | None) -> tuple[Split, Split]:
    data = load_dataset("cifar10", data_dir=data_dir, download=False)
    training = _pixels(data.train_inputs[:TRAINING_IMAGES]), data.train_targets[:TRAINING_IMAGES]
    return training, (_pixels(data.test_inputs), data.test_targets)


def _pixels(inputs: Tensor) -> Tensor:
    mean, deviation = (torch.tensor(part).view(-1, 1, 1) for part in (_MEAN, _DEVIATION))
    return inputs * deviation + mean
