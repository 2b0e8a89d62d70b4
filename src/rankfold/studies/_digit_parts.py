"""The 8 x 8 digits in three parts, grey values from 0 to 1: to train on, to choose by, to test on."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from rankfold.data import load_dataset

__all__ = ["DigitParts", "digit_parts"]

_SIZE = 8  # of the scans; the data set scales them up for networks of 28 x 28
_HELD_OUT = 300


@dataclass(frozen=True, slots=True)
class DigitParts:
    """Images ``(N, 8, 8)`` and labels; the same parts for every method and seed."""

    train: tuple[Tensor, Tensor]
    held_out: tuple[Tensor, Tensor]
    test: tuple[Tensor, Tensor]


@lru_cache(maxsize=1)  # some dozen cases share it
def digit_parts(data_dir: Path | None) -> DigitParts:
    """Read and split the images.

    Arguments:
        data_dir: as of a :class:`Setting`.
    """
    data = load_dataset("digits", data_dir=data_dir)
    train, test = (
        F.adaptive_avg_pool2d(x * data.deviation[0] + data.mean[0], _SIZE).squeeze(1)
        for x in (data.train_inputs, data.test_inputs)
    )
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))
    apart, kept = order[:_HELD_OUT], order[_HELD_OUT:]
    return DigitParts(
        (train[kept], data.train_targets[kept]),
        (train[apart], data.train_targets[apart]),
        (test, data.test_targets),
    )
