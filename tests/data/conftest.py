"""Tests of data sets see no files of this user and no network unless they ask for them."""

import gzip
import os
import urllib.error
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from rankfold.data import _download

_REAL = os.environ.get("RANKFOLD_DATA")  # before the fixture below hides it

WriteIdx = Callable[..., Path]


@pytest.fixture(autouse=True)
def isolated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def offline(url: str) -> None:
        raise urllib.error.URLError(f"no network for {url} in tests")

    monkeypatch.delenv("RANKFOLD_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(_download, "_opened", offline)


@pytest.fixture
def real_data() -> Path:
    if not _REAL:
        pytest.skip("RANKFOLD_DATA does not name a folder with real data sets")
    return Path(_REAL)


def _idx(array: np.ndarray) -> bytes:
    header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
    return header + array.astype(np.uint8).tobytes()


@pytest.fixture
def write_idx() -> WriteIdx:
    def write(path: Path, array: np.ndarray) -> Path:
        path.parent.mkdir(parents=True, exist_ok=True)
        content = _idx(array)
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
        return path

    return write


@pytest.fixture
def write_mnist(write_idx: WriteIdx) -> Callable[..., Path]:
    """Write the four files of a tiny MNIST; every training pixel has the given brightness."""

    def write(folder: Path, brightness: int = 0, suffix: str = ".gz", train: int = 3, test: int = 2) -> Path:
        for prefix, count in (("train", train), ("t10k", test)):
            images = np.full((count, 28, 28), brightness)
            write_idx(folder / f"{prefix}-images-idx3-ubyte{suffix}", images)
            write_idx(folder / f"{prefix}-labels-idx1-ubyte{suffix}", np.arange(count))
        return folder

    return write
