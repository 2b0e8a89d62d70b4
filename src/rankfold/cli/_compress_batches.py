"""Minibatches of a fine-tuning, which depend on seed and epoch only."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from rankfold.data import Dataset, batches

__all__ = ["AUGMENTATIONS", "FineTuningEpoch", "flip_and_shift"]

_SHIFT = 4  # pixels, as in He et al. 2016, section 4.2

Augmentation = Callable[[Tensor, torch.Generator], Tensor]


def flip_and_shift(images: Tensor, generator: torch.Generator) -> Tensor:
    """Mirror each image with probability 1/2 and move it by up to 4 pixels along both axes, zeros moving in.

    Arguments:
        images: ``(N, C, H, W)``.
        generator: on the CPU.

    Reference:
        He et al. 2016, "Deep residual learning for image recognition", section 4.2, after Lee et al. 2015,
        "Deeply-supervised nets".
    """
    count, _, height, width = images.shape
    flipped = torch.rand(count, generator=generator) < 0.5
    offsets = torch.randint(0, 2 * _SHIFT + 1, (2, count, 1), generator=generator)
    rows = (offsets[0] + torch.arange(height)).to(images.device)
    columns = offsets[1] + torch.arange(width)
    columns = torch.where(flipped[:, None], columns.flip(1), columns).to(images.device)
    padded = F.pad(images, (_SHIFT,) * 4)
    which = torch.arange(count, device=images.device)[:, None, None]
    # Indices around a slice come first in the result.
    return padded[which, :, rows[:, :, None], columns[:, None, :]].movedim(-1, 1)


#: By data set; the others are trained on as they are.
AUGMENTATIONS: Mapping[str, Augmentation] = {"cifar10": flip_and_shift}


@dataclass(frozen=True, eq=False)
class FineTuningEpoch:
    """The batches of one epoch.

    Arguments:
        dataset: whose training part is taken.
        batch_size: samples per batch, fewer in the last.
        seed: of order and changes.
        epoch: likewise, so that each epoch has its own.
        device: where batches go.
    """

    dataset: Dataset
    batch_size: int
    seed: int
    epoch: int
    device: torch.device

    def __len__(self) -> int:
        return math.ceil(len(self.dataset.train_targets) / self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        mixed = np.random.SeedSequence((self.seed, self.epoch)).generate_state(1, np.uint64)
        generator = torch.Generator().manual_seed(int(mixed[0] >> np.uint64(1)))
        augment = AUGMENTATIONS.get(self.dataset.name)
        inputs, targets = self.dataset.train_inputs, self.dataset.train_targets
        for x, y in batches(inputs, targets, self.batch_size, generator=generator):
            x, y = x.to(self.device), y.to(self.device)
            yield x if augment is None else augment(x, generator), y
