from pathlib import Path

import numpy as np
import pytest
import torch

from rankfold._errors import DataError
from rankfold.data import _mnist, load_dataset


def test_loads_and_normalises(tmp_path: Path, write_mnist) -> None:
    write_mnist(tmp_path / "mnist", brightness=255)
    data = load_dataset("mnist", data_dir=tmp_path)
    assert data.name == "mnist"
    assert data.classes == 10
    assert data.input_shape == (1, 28, 28)
    assert data.train_inputs.shape == (3, 1, 28, 28)
    assert data.test_inputs.shape == (2, 1, 28, 28)
    assert data.train_inputs.dtype == torch.float32
    assert data.train_targets.dtype == torch.int64
    assert data.train_targets.tolist() == [0, 1, 2]
    torch.testing.assert_close(data.train_inputs, torch.full((3, 1, 28, 28), (1 - 0.1307) / 0.3081))


def test_unpacked_files_in_the_root(tmp_path: Path, write_mnist) -> None:
    write_mnist(tmp_path, suffix="")
    assert len(load_dataset("mnist", data_dir=str(tmp_path)).train_targets) == 3


def test_fashion_mnist_takes_its_own_folder_only(tmp_path: Path, write_mnist) -> None:
    write_mnist(tmp_path)
    with pytest.raises(DataError, match="fashion_mnist") as raised:
        load_dataset("fashion_mnist", data_dir=tmp_path, download=False)
    assert str(tmp_path / "fashion_mnist") in str(raised.value)
    write_mnist(tmp_path / "fashion_mnist")
    inputs = load_dataset("fashion_mnist", data_dir=tmp_path).train_inputs
    torch.testing.assert_close(inputs, torch.full_like(inputs, -0.2860 / 0.3530))


def test_order_of_the_places(tmp_path: Path, write_mnist, monkeypatch: pytest.MonkeyPatch) -> None:
    def count(data_dir: Path | None) -> int:
        return len(load_dataset("mnist", data_dir=data_dir).train_targets)

    write_mnist(tmp_path / "cache" / "rankfold" / "mnist", train=3)
    write_mnist(tmp_path / "environment", train=4)
    write_mnist(tmp_path / "argument" / "mnist", train=5)
    (tmp_path / "empty").mkdir()
    assert count(None) == 3
    monkeypatch.setenv("RANKFOLD_DATA", str(tmp_path / "environment"))
    assert count(None) == 4
    assert count(tmp_path / "empty") == 4
    assert count(tmp_path / "argument") == 5


def test_images_of_another_size(tmp_path: Path, write_mnist, write_idx) -> None:
    write_mnist(tmp_path)
    write_idx(tmp_path / "t10k-images-idx3-ubyte.gz", np.zeros((2, 8, 8)))
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte\.gz holds images of \(8, 8\)"):
        load_dataset("mnist", data_dir=tmp_path)


def test_another_number_of_labels(tmp_path: Path, write_mnist, write_idx) -> None:
    write_mnist(tmp_path)
    write_idx(tmp_path / "train-labels-idx1-ubyte.gz", np.zeros(7))
    with pytest.raises(DataError, match=r"train-labels-idx1-ubyte\.gz holds 7 labels for 3 images"):
        load_dataset("mnist", data_dir=tmp_path)


def test_no_images(tmp_path: Path, write_mnist) -> None:
    with pytest.raises(DataError, match="0 labels for 0 images"):
        load_dataset("mnist", data_dir=write_mnist(tmp_path, train=0))


def test_label_out_of_range(tmp_path: Path, write_mnist, write_idx) -> None:
    write_mnist(tmp_path)
    write_idx(tmp_path / "t10k-labels-idx1-ubyte.gz", np.array([1, 10]))
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte\.gz holds the label 10, allowed are 0 to 9"):
        load_dataset("mnist", data_dir=tmp_path)


def test_offline_says_what_to_put_where(tmp_path: Path) -> None:
    with pytest.raises(DataError) as raised:
        load_dataset("mnist")
    message = str(raised.value)
    assert "train-images-idx3-ubyte.gz" in message
    assert str(tmp_path / "cache" / "rankfold" / "mnist") in message
    assert "RANKFOLD_DATA" in message
    assert "\n" not in message


def test_download_fills_what_the_cache_lacks(
    tmp_path: Path, write_mnist, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "cache" / "rankfold" / "mnist"
    write_mnist(cache)
    missing = cache / "t10k-labels-idx1-ubyte.gz"
    content = missing.read_bytes()
    missing.unlink()
    asked = []

    def download(urls: list[str], sha256: str, target: Path) -> None:
        asked.append((urls, sha256))
        target.write_bytes(content)

    monkeypatch.setattr(_mnist, "download_file", download)
    assert len(load_dataset("mnist").test_targets) == 2
    ((urls, sha256),) = asked
    assert urls[0] == "https://ossci-datasets.s3.amazonaws.com/mnist/t10k-labels-idx1-ubyte.gz"
    assert sha256 == _mnist.MNIST.checksums["t10k-labels-idx1-ubyte"]


@pytest.mark.parametrize("files", [_mnist.MNIST, _mnist.FASHION_MNIST], ids=lambda files: files.name)
def test_real_data(real_data: Path, files: _mnist.IdxFiles) -> None:
    if not (real_data / files.name).is_dir():
        pytest.skip(f"RANKFOLD_DATA has no {files.name}")
    data = load_dataset(files.name, data_dir=real_data, download=False)
    assert data.train_inputs.shape == (60_000, 1, 28, 28)
    assert data.test_inputs.shape == (10_000, 1, 28, 28)
    assert data.test_targets.bincount().sum() == 10_000
    assert abs(data.train_inputs.mean()) < 5e-4
    assert abs(data.train_inputs.std() - 1) < 5e-4


def test_the_two_data_sets_share_no_checksum() -> None:
    checksums = [*_mnist.MNIST.checksums.values(), *_mnist.FASHION_MNIST.checksums.values()]
    assert len(set(checksums)) == 8
    assert all(len(checksum) == 64 for checksum in checksums)
