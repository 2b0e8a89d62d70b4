"""CIFAR-10: find or download it, check it, normalise it."""

import gzip
import io
import shutil
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from rankfold._errors import DataError
from rankfold.data._cifar import FILE_SIZE, TEST_FILES, TRAIN_FILES, read_archive, read_binary
from rankfold.data._dataset import Dataset, normalize
from rankfold.data._download import download_file
from rankfold.data._labels import checked_labels
from rankfold.data._locate import cache_root, not_found, search_roots
from rankfold.data._unpacking import regular_size

__all__ = ["load_cifar10", "unpack"]

_FOLDER = "cifar-10-batches-bin"
_ARCHIVE = "cifar10.npz"
_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"
_SHA256 = "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd"
# Mean and deviation of each channel over the training pixels in the scale [0, 1], to four digits.
_MEAN = (0.4914, 0.4822, 0.4465)
_DEVIATION = (0.2470, 0.2435, 0.2616)
_CLASSES = 10
# Half as much again as the six files have. What tarfile and zlib raise on damage is of many kinds.
_MOST = 9 * FILE_SIZE
_BROKEN = Exception

_Split = tuple[np.ndarray, Tensor]  # pixels (N, 3, 32, 32) and targets (N,)


def load_cifar10(data_dir: Path | None, download: bool) -> Dataset:
    """Find or download CIFAR-10, read and check it.

    Arguments:
        data_dir: folder to search first, or None.
        download: whether it may be downloaded into the user cache (170 MB).

    Returns:
        The normalised data set.

    Raises:
        DataError: files missing or damaged.
    """
    place = _place(data_dir, download)
    read = _read_archive if place.suffix == ".npz" else _read_folder
    (train_pixels, train_targets), (test_pixels, test_targets) = read(place)
    train_inputs = normalize(train_pixels, _MEAN, _DEVIATION)
    test_inputs = normalize(test_pixels, _MEAN, _DEVIATION)
    return Dataset(
        "cifar10", train_inputs, train_targets, test_inputs, test_targets, _CLASSES, _MEAN, _DEVIATION
    )


def _read_archive(path: Path) -> tuple[_Split, _Split]:
    arrays = read_archive(path)

    def split(part: str) -> _Split:
        pixels, labels = arrays[f"x_{part}"], arrays[f"y_{part}"]
        return pixels, checked_labels(labels, len(pixels), _CLASSES, path)

    return split("train"), split("test")


def _read_folder(folder: Path) -> tuple[_Split, _Split]:
    def split(names: tuple[str, ...]) -> _Split:
        parts = [read_binary(folder / name) for name in names]
        targets = [
            checked_labels(labels, len(pixels), _CLASSES, folder / name)
            for name, (pixels, labels) in zip(names, parts, strict=True)
        ]
        return np.concatenate([pixels for pixels, _ in parts]), torch.cat(targets)

    return split(TRAIN_FILES), split(TEST_FILES)


def _place(data_dir: Path | None, download: bool) -> Path:
    """The first complete folder or archive, downloading into the cache if there is none."""
    places = [
        root / place
        for root in search_roots(data_dir)
        for place in (f"cifar10/{_FOLDER}", _FOLDER, _ARCHIVE, f"cifar10/{_ARCHIVE}")
    ]
    for place in places:
        if place.is_file() if place.suffix == ".npz" else _complete(place):
            return place
    if not download:
        raise not_found("cifar10", "the six files of the binary version", places)
    target = cache_root() / "cifar10" / _FOLDER
    archive = target.parent / "cifar-10-binary.tar.gz"
    download_file([_URL], _SHA256, archive)
    try:
        unpack(archive, target)
    finally:
        archive.unlink(missing_ok=True)
    return target


def _complete(folder: Path) -> bool:
    return all((folder / name).is_file() for name in TRAIN_FILES + TEST_FILES)


def unpack(archive: Path, target: Path) -> None:
    """Take the six files out of the canonical archive.

    Only members of the known names are read, and where their bytes go is decided here and not in the archive,
    so no member can be written elsewhere (``filter="data"`` is missing from Python 3.11.0 to 3.11.3). Each
    file gets its name when it is whole, and never more than the six files have is unpacked.

    Arguments:
        archive: the ``.tar.gz`` file.
        target: folder for the files; made if missing.

    Raises:
        DataError: the archive is damaged or lacks a file, or the folder cannot be written.
    """
    wanted = {f"{_FOLDER}/{name}": name for name in TRAIN_FILES + TEST_FILES}
    try:
        regular_size(archive)
        target.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory(dir=target.parent) as partial,
            gzip.open(archive) as unpacked,
            tarfile.open(fileobj=_Limited(unpacked), mode="r|") as tar,
        ):
            for member in tar:
                name = wanted.pop(member.name, None)
                if name is None:
                    continue
                file = tar.extractfile(member) if member.isreg() and member.size <= FILE_SIZE else None
                if file is None:
                    raise ValueError(f"{name} is no file of at most {FILE_SIZE:,} bytes")
                with (Path(partial) / name).open("wb") as copy:
                    shutil.copyfileobj(file, copy)
                (Path(partial) / name).replace(target / name)
        if wanted:
            raise ValueError(f"it lacks {next(iter(wanted))}")
    except _BROKEN as error:
        raise DataError(
            f"load_dataset('cifar10'): {archive} could not be unpacked into {target} ({error}); make "
            f"room and try again, or put the six files of {_FOLDER} there yourself."
        ) from None


class _Limited(io.BufferedIOBase):
    """Bytes for a stream of tarfile, which ends with an error before a false archive fills memory or disk."""

    def __init__(self, file: gzip.GzipFile) -> None:
        self._file, self._left = file, _MOST

    def read(self, size: int | None = -1, /) -> bytes:
        """So many bytes; tarfile asks for some thousand at a time."""
        self._left -= size if size is not None and size >= 0 else _MOST
        if self._left < 0:
            raise OSError(f"it unpacks to over {_MOST:,} bytes")
        return self._file.read(size)
