"""MNIST and Fashion-MNIST, which share their format and their file names."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from rankfold._errors import DataError
from rankfold.data._dataset import Dataset, normalize
from rankfold.data._download import download_file
from rankfold.data._idx import read_idx
from rankfold.data._labels import checked_labels
from rankfold.data._locate import cache_root, not_found, search_roots

__all__ = ["FASHION_MNIST", "MNIST", "IdxFiles", "load_idx_dataset"]

_TRAIN_IMAGES = "train-images-idx3-ubyte"
_TRAIN_LABELS = "train-labels-idx1-ubyte"
_TEST_IMAGES = "t10k-images-idx3-ubyte"
_TEST_LABELS = "t10k-labels-idx1-ubyte"
_SIZE = (28, 28)
_CLASSES = 10


@dataclass(frozen=True)
class IdxFiles:
    """What tells one data set in IDX files from the other.

    Arguments:
        name: name of the data set and of its folder.
        mean: mean of the training pixels in the scale [0, 1].
        deviation: standard deviation of the training pixels in that scale.
        addresses: folders on the network, in the order to try them, each ending in a slash.
        checksums: sha256 of each gzipped file, by its name without ``.gz``.
        in_root: whether the files may also lie in the root itself.
    """

    name: str
    mean: float
    deviation: float
    addresses: tuple[str, ...]
    checksums: Mapping[str, str]
    in_root: bool


# Mean and deviation: of the 60,000 training images over 255, rounded to four digits, as in the MNIST example
# of PyTorch (github.com/pytorch/examples, mnist/main.py) and, for Fashion-MNIST, computed in the same way.
# Checksums: computed from the original files.
MNIST = IdxFiles(
    name="mnist",
    mean=0.1307,
    deviation=0.3081,
    # yann.lecun.com, the origin, no longer delivers reliably: PyTorch's mirror, then TensorFlow's.
    addresses=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
    ),
    checksums={
        _TRAIN_IMAGES: "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        _TRAIN_LABELS: "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        _TEST_IMAGES: "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        _TEST_LABELS: "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    },
    in_root=True,
)

FASHION_MNIST = IdxFiles(
    name="fashion_mnist",
    mean=0.2860,
    deviation=0.3530,
    # The authors' repository; the address in their readme has no https.
    addresses=("https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",),
    checksums={
        _TRAIN_IMAGES: "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        _TRAIN_LABELS: "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        _TEST_IMAGES: "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        _TEST_LABELS: "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    },
    # The names are those of MNIST: in a shared root nothing would tell one from the other.
    in_root=False,
)


def load_idx_dataset(files: IdxFiles, data_dir: Path | None, download: bool) -> Dataset:
    """Find or download the four files, read and check them.

    Arguments:
        files: which data set.
        data_dir: folder to search first, or None.
        download: whether missing files may be downloaded into the user cache.

    Returns:
        The normalised data set.

    Raises:
        DataError: files missing or damaged.
    """
    folder = _folder(files, data_dir, download)
    train_inputs, train_targets = _split(files, folder, _TRAIN_IMAGES, _TRAIN_LABELS)
    test_inputs, test_targets = _split(files, folder, _TEST_IMAGES, _TEST_LABELS)
    constants = (files.mean,), (files.deviation,)
    return Dataset(files.name, train_inputs, train_targets, test_inputs, test_targets, _CLASSES, *constants)


def _folder(files: IdxFiles, data_dir: Path | None, download: bool) -> Path:
    """The first folder that holds all four files, downloading into the cache if there is none."""
    roots = search_roots(data_dir)
    places = [place for root in roots for place in (root / files.name, *([root] if files.in_root else []))]
    for place in places:
        if all(_file(place, name).is_file() for name in files.checksums):
            return place
    if not download:
        raise not_found(files.name, f"{', '.join(files.checksums)} (.gz or unpacked)", places)
    target = cache_root() / files.name
    for name, checksum in files.checksums.items():
        if not _file(target, name).is_file():
            urls = [f"{address}{name}.gz" for address in files.addresses]
            download_file(urls, checksum, target / f"{name}.gz")
    return target


def _file(folder: Path, name: str) -> Path:
    packed = folder / f"{name}.gz"
    return packed if packed.is_file() else folder / name


def _split(files: IdxFiles, folder: Path, images: str, labels: str) -> tuple[Tensor, Tensor]:
    pixels = read_idx(_file(folder, images), 3)
    if pixels.shape[1:] != _SIZE:
        raise DataError(
            f"load_dataset({files.name!r}): {_file(folder, images)} holds images of {pixels.shape[1:]} "
            f"pixels, they must be {_SIZE}; replace it by the original file."
        )
    path = _file(folder, labels)
    targets = checked_labels(read_idx(path, 1), len(pixels), _CLASSES, path)
    return normalize(pixels[:, None], [files.mean], [files.deviation]), targets
