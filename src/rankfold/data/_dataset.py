"""A data set in memory."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

__all__ = ["Dataset", "normalize"]


@dataclass(frozen=True, eq=False)
class Dataset:
    """A data set for classification, in memory and normalised.

    Arguments:
        name: the name it was asked for by.
        train_inputs: float32 ``(N, C, H, W)``, of mean 0 and variance 1 up to the rounding of the constants.
        train_targets: int64 ``(N,)`` in ``0 .. classes - 1``.
        test_inputs: as the training inputs.
        test_targets: as the training targets.
        classes: number of classes.
        mean: of each channel in the scale [0, 1], what was subtracted.
        deviation: of each channel in that scale, what it was divided by.
    """

    name: str
    train_inputs: Tensor
    train_targets: Tensor
    test_inputs: Tensor
    test_targets: Tensor
    classes: int
    mean: tuple[float, ...]
    deviation: tuple[float, ...]

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """The shape ``(C, H, W)`` of one input."""
        channels, height, width = self.train_inputs.shape[1:]
        return channels, height, width

    def to(self, device: torch.device) -> "Dataset":
        """The data set on a device."""
        return replace(
            self,
            train_inputs=self.train_inputs.to(device),
            train_targets=self.train_targets.to(device),
            test_inputs=self.test_inputs.to(device),
            test_targets=self.test_targets.to(device),
        )

    def normalized(self, mean: Sequence[float], deviation: Sequence[float]) -> "Dataset":
        """The data set with other constants, for networks that were trained with these; equal up to rounding.

        Arguments:
            mean: one number per channel in the scale [0, 1].
            deviation: one number per channel in that scale, above 0.
        """
        triples = list(zip(self.mean, mean, deviation, strict=True))
        shift = torch.tensor([(own - other) / by for own, other, by in triples]).view(1, -1, 1, 1)
        scale = torch.tensor([own / by for own, by in zip(self.deviation, deviation, strict=True)]).view(
            shift.shape
        )
        train, test = ((inputs * scale).add_(shift) for inputs in (self.train_inputs, self.test_inputs))
        return replace(
            self, train_inputs=train, test_inputs=test, mean=tuple(mean), deviation=tuple(deviation)
        )


def normalize(pixels: np.ndarray, mean: Sequence[float], deviation: Sequence[float]) -> Tensor:
    """Scale bytes to [0, 1], subtract the mean and divide by the deviation of each channel.

    Arguments:
        pixels: uint8 ``(N, C, H, W)``.
        mean: C numbers in the scale [0, 1].
        deviation: C numbers in the scale [0, 1], above 0.

    Returns:
        float32 ``(N, C, H, W)``.
    """
    # In place after the one conversion: CIFAR-10 is 0.6 GB as float32.
    inputs = torch.from_numpy(np.asarray(pixels, np.float32, order="C")).div_(255)
    return inputs.sub_(torch.tensor(mean).view(1, -1, 1, 1)).div_(torch.tensor(deviation).view(1, -1, 1, 1))
