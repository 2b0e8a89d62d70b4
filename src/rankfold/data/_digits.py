"""The handwritten digits that come with scikit-learn: real data without a download."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from rankfold._errors import DataError
from rankfold.data._dataset import Dataset
from rankfold.data._locate import search_roots

__all__ = ["load_digits", "stratified_split"]

_BRIGHTEST = 16  # pixels count the dark ones of 4x4 in the scan: 0 to 16 (UCI repository, data set 80)
_SIZE = (28, 28)  # that of MNIST, so that its networks apply
_TEST_COUNT = 360  # a fifth of 1797, rounded up
_SEED = 0  # of the split; any will do, this one is fixed for good
_CLASSES = 10


def load_digits(data_dir: Path | None, download: bool) -> Dataset:
    """Load scikit-learn's 1797 digits, scaled from 8x8 to 28x28 by bilinear interpolation.

    Arguments:
        data_dir: not needed; only checked to exist, as for the other data sets.
        download: not needed.

    Returns:
        1437 training and 360 test images, normalised by mean and deviation of the training pixels.

    Raises:
        DataError: scikit-learn is not installed.

    Reference:
        Alpaydin, Kaynak 1998, "Optical recognition of handwritten digits", UCI machine learning repository,
        data set 80; the test part of 1797 images is the one in scikit-learn.
    """
    search_roots(data_dir)
    try:
        from sklearn import datasets
    except ImportError as error:
        raise DataError(
            "load_dataset('digits'): scikit-learn, which holds these images, is not installed; "
            "pip install 'rankfold[cli]'."
        ) from error
    raw: Any = datasets.load_digits()  # its stubs know only the (data, target) form
    labels = np.asarray(raw["target"], np.int64)
    pixels = torch.from_numpy(np.asarray(raw["images"], np.float32))[:, None] / _BRIGHTEST
    inputs = F.interpolate(pixels, size=_SIZE, mode="bilinear", align_corners=False)
    train, test = (torch.from_numpy(indices) for indices in stratified_split(labels, _TEST_COUNT))
    targets = torch.from_numpy(labels)
    mean, deviation = _statistics(inputs[train])
    inputs = (inputs - mean) / deviation
    constants = (float(mean),), (float(deviation),)
    return Dataset("digits", inputs[train], targets[train], inputs[test], targets[test], _CLASSES, *constants)


def stratified_split(labels: np.ndarray, test_count: int) -> tuple[np.ndarray, np.ndarray]:
    """Split indices so that each class has its share of the test part, always in the same way.

    Arguments:
        labels: int64 ``(N,)``, at least 0.
        test_count: size of the test part, 0 to N.

    Returns:
        Indices of the training and of the test part, int64, each ascending. Shares are rounded by largest
        remainder, ties to the smaller label.
    """
    shares, remainders = np.divmod(np.bincount(labels) * test_count, len(labels))
    shares[np.argsort(-remainders, kind="stable")[: test_count - shares.sum()]] += 1
    # RandomState, because its numbers are frozen for all versions of NumPy (NEP 19); Generator's are not.
    order = np.random.RandomState(_SEED).permutation(len(labels))
    chosen = [order[labels[order] == label][:share] for label, share in enumerate(shares)]
    test = np.sort(np.concatenate(chosen))
    return np.setdiff1d(np.arange(len(labels)), test), test


def _statistics(inputs: Tensor) -> tuple[Tensor, Tensor]:
    wide = inputs.double()
    return wide.mean().to(inputs.dtype), wide.std(correction=0).to(inputs.dtype)
