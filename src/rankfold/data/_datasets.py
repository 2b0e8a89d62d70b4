"""The data sets by name."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from rankfold._registry import Registry
from rankfold.data._cifar10 import load_cifar10
from rankfold.data._dataset import Dataset
from rankfold.data._digits import load_digits
from rankfold.data._mnist import FASHION_MNIST, MNIST, load_idx_dataset

__all__ = ["DATASETS", "DatasetInfo", "load_dataset"]


@dataclass(frozen=True)
class DatasetInfo:
    """One data set.

    Arguments:
        name: the name it is asked for by.
        load: loads it from a folder to search first (or None) and whether it may be downloaded.
        input_shape: shape ``(C, H, W)`` of one input.
        classes: number of classes.
        summary: what it is, in one line.
        source: where it was published.
    """

    name: str
    load: Callable[[Path | None, bool], Dataset]
    input_shape: tuple[int, int, int]
    classes: int
    summary: str
    source: str


DATASETS: Registry[DatasetInfo] = Registry(
    "data set",
    DatasetInfo(
        name="digits",
        load=load_digits,
        input_shape=(1, 28, 28),
        classes=10,
        summary="1797 handwritten digits that come with scikit-learn, scaled from 8x8 to 28x28; no download",
        source="Alpaydin, Kaynak 1998; UCI machine learning repository, data set 80",
    ),
    DatasetInfo(
        name="mnist",
        load=partial(load_idx_dataset, MNIST),
        input_shape=(1, 28, 28),
        classes=10,
        summary="70,000 handwritten digits of 28x28 pixels",
        source="LeCun et al. 1998; yann.lecun.com/exdb/mnist",
    ),
    DatasetInfo(
        name="fashion_mnist",
        load=partial(load_idx_dataset, FASHION_MNIST),
        input_shape=(1, 28, 28),
        classes=10,
        summary="70,000 articles of clothing of 28x28 pixels",
        source="Xiao, Rasul, Vollgraf 2017; github.com/zalandoresearch/fashion-mnist",
    ),
    DatasetInfo(
        name="cifar10",
        load=load_cifar10,
        input_shape=(3, 32, 32),
        classes=10,
        summary="60,000 colour photographs of 32x32 pixels in ten classes",
        source="Krizhevsky 2009, Learning multiple layers of features from tiny images",
    ),
)


def load_dataset(name: str, *, data_dir: str | Path | None = None, download: bool = True) -> Dataset:
    """Load a data set by name: found on disk, otherwise downloaded into the user cache.

    Files are looked for in ``data_dir``, then in the folder that the environment variable ``RANKFOLD_DATA``
    names, then in ``$XDG_CACHE_HOME/rankfold`` or ``~/.cache/rankfold``. In each of these: the four IDX
    files, gzipped or not, in ``mnist/`` or in the folder itself, and in ``fashion_mnist/``; for CIFAR-10
    ``cifar10/cifar-10-batches-bin/``, ``cifar-10-batches-bin/``, ``cifar10.npz`` or ``cifar10/cifar10.npz``.

    Arguments:
        name: a name in ``DATASETS``.
        data_dir: existing folder to search first, or None.
        download: whether missing files may be downloaded; their checksums are verified.

    Returns:
        The data set in memory, normalised: float32 inputs ``(N, C, H, W)`` and int64 targets ``(N,)``.

    Raises:
        OptionError: an unknown name.
        DataError: a folder or file that is missing, damaged or cannot be downloaded.

    Reference:
        See ``DATASETS[name].source``.

    Example:
        >>> digits = load_dataset("digits")
        >>> digits.train_inputs.shape, digits.test_targets.shape
        (torch.Size([1437, 1, 28, 28]), torch.Size([360]))
    """
    return DATASETS[name].load(None if data_dir is None else Path(data_dir).expanduser(), download)
