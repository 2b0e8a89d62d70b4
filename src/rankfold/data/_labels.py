"""The check that every reader makes of its labels."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rankfold._errors import DataError

__all__ = ["checked_labels"]


def checked_labels(labels: np.ndarray, count: int, classes: int, path: Path) -> Tensor:
    """Labels as int64, one for each of ``count`` images and all below ``classes``.

    Arguments:
        labels: integers ``(N,)``.
        count: number of images they belong to.
        classes: number of classes.
        path: the file they come from, for the messages.

    Returns:
        int64 ``(N,)``.

    Raises:
        DataError: another number of labels than images, no images, or a label out of range.
    """
    if len(labels) != count or count == 0:
        raise DataError(
            f"load_dataset: {path} holds {len(labels)} labels for {count} images; there must be one label "
            "for each image and at least one image: replace the files by the originals."
        )
    if labels.min() < 0 or labels.max() >= classes:
        wrong = labels.max() if labels.max() >= classes else labels.min()
        raise DataError(
            f"load_dataset: {path} holds the label {wrong}, allowed are 0 to {classes - 1}; replace it by "
            "the original file."
        )
    return torch.from_numpy(labels.astype(np.int64))
