"""Read CIFAR-10 from its canonical binary files or from one NumPy archive."""

import zipfile
from pathlib import Path

import numpy as np

from rankfold._errors import DataError
from rankfold.data._numpy_files import BROKEN, checked_member
from rankfold.data._unpacking import regular_size

__all__ = ["FILE_SIZE", "TEST_FILES", "TRAIN_FILES", "read_archive", "read_binary"]

# File names and layout: Krizhevsky, www.cs.toronto.edu/~kriz/cifar.html, section "Binary version".
TRAIN_FILES = tuple(f"data_batch_{k}.bin" for k in range(1, 6))
TEST_FILES = ("test_batch.bin",)
_SHAPE = (3, 32, 32)
_ROW = 1 + 3 * 32 * 32  # one label byte, then the red, green and blue planes row by row
_IMAGES_PER_FILE = 10_000
#: Bytes of each of the six files.
FILE_SIZE = _IMAGES_PER_FILE * _ROW
_KEYS = ("x_train", "y_train", "x_test", "y_test")


def read_binary(path: Path, images: int = _IMAGES_PER_FILE) -> tuple[np.ndarray, np.ndarray]:
    """Read one file of the binary version.

    Arguments:
        path: the file.
        images: number of images that it must hold; the format has no header to tell a cut file.

    Returns:
        Pixels uint8 ``(images, 3, 32, 32)`` and labels uint8 ``(images,)``.

    Raises:
        DataError: the file cannot be read or has another size.
    """
    try:
        size = regular_size(path)
        content = np.fromfile(path, np.uint8, images * _ROW)
    except OSError as error:
        raise DataError(f"load_dataset: {path} cannot be read ({error}); replace it.") from None
    if not size == len(content) == images * _ROW:
        raise DataError(
            f"load_dataset: {path} holds {size} bytes, {images} images of {_ROW} bytes are "
            f"{images * _ROW}; replace it by the original file."
        )
    rows = content.reshape(images, _ROW)
    return rows[:, 1:].reshape(images, *_SHAPE), rows[:, 0]


def read_archive(path: Path) -> dict[str, np.ndarray]:
    """Read the four arrays of ``cifar10.npz``.

    Arguments:
        path: an ``.npz`` archive with uint8 ``x_train`` and ``x_test``, ``(N, 32, 32, 3)`` or
            ``(N, 3, 32, 32)``, and integers ``y_train`` and ``y_test``, ``(N,)`` or ``(N, 1)``.

    Returns:
        The arrays by key, images as ``(N, 3, 32, 32)`` and labels as ``(N,)``.

    Raises:
        DataError: the archive cannot be read, a key is missing, or an array has another type or shape.
    """
    try:
        regular_size(path)
        with zipfile.ZipFile(path) as archive:
            for key in _KEYS:
                checked_member(archive, key, path)
        # Opened here, because np.load leaves a damaged archive open.
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            found = {key: arrays[key] for key in _KEYS}
    except BROKEN as error:
        raise DataError(
            f"load_dataset: {path} cannot be read ({error}); it must be an .npz archive with the arrays "
            "x_train, y_train, x_test and y_test."
        ) from None
    return {
        key: _images(array, key, path) if key.startswith("x") else _labels(array, key, path)
        for key, array in found.items()
    }


def _images(array: np.ndarray, key: str, path: Path) -> np.ndarray:
    if array.dtype == np.uint8 and array.shape[1:] == _SHAPE:
        return array
    if array.dtype == np.uint8 and array.shape[1:] == (32, 32, 3):
        return array.transpose(0, 3, 1, 2)
    raise DataError(
        f"load_dataset: {key} in {path} is {array.dtype} of shape {array.shape}, allowed is uint8 of shape "
        "(N, 32, 32, 3) or (N, 3, 32, 32); write the archive again."
    )


def _labels(array: np.ndarray, key: str, path: Path) -> np.ndarray:
    if array.dtype.kind in "iu" and (array.ndim == 1 or array.shape[1:] == (1,)):
        return array.reshape(-1)
    raise DataError(
        f"load_dataset: {key} in {path} is {array.dtype} of shape {array.shape}, allowed are integers of "
        "shape (N,) or (N, 1); write the archive again."
    )
