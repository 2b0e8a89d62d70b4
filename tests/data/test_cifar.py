import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
import torch

from rankfold._errors import DataError
from rankfold.data import _cifar10, load_dataset
from rankfold.data._cifar import TEST_FILES, TRAIN_FILES, read_archive, read_binary
from rankfold.data._cifar10 import unpack

_NAMES = TRAIN_FILES + TEST_FILES


def _rows(images: int, label: int = 0) -> np.ndarray:
    rows = np.zeros((images, 3073), np.uint8)
    rows[:, 0] = label
    rows[:, 1:1025], rows[:, 1025:2049], rows[:, 2049:] = 10, 20, 30
    return rows


@pytest.fixture
def small_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """The canonical files hold 10,000 images each; let two do."""
    monkeypatch.setattr(_cifar10, "read_binary", lambda path: read_binary(path, images=2))


def _write_folder(folder: Path) -> Path:
    folder.mkdir(parents=True)
    for label, name in enumerate(_NAMES):
        (folder / name).write_bytes(_rows(2, label).tobytes())
    return folder


def _write_archive(path: Path, **changes: np.ndarray | None) -> Path:
    arrays = {
        "x_train": np.full((4, 32, 32, 3), 255, np.uint8),
        "y_train": np.arange(4, dtype=np.uint8),
        "x_test": np.zeros((2, 32, 32, 3), np.uint8),
        "y_test": np.array([[8], [9]], np.uint8),
    } | changes
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **{key: array for key, array in arrays.items() if array is not None})
    return path


def test_binary_layout(tmp_path: Path) -> None:
    path = tmp_path / "data_batch_1.bin"
    rows = np.random.default_rng(0).integers(0, 256, (3, 3073)).astype(np.uint8)
    path.write_bytes(rows.tobytes())
    pixels, labels = read_binary(path, images=3)
    assert pixels.shape == (3, 3, 32, 32)
    np.testing.assert_array_equal(labels, rows[:, 0])
    # Channel 1, row 2, column 3 of image 1: after the label, one plane, two rows and three bytes.
    assert pixels[1, 1, 2, 3] == rows[1, 1 + 1024 + 2 * 32 + 3]


@pytest.mark.parametrize("size", [0, 1, 2 * 3073 - 1, 3073, 2 * 3073 + 1])
def test_binary_of_another_size(tmp_path: Path, size: int) -> None:
    path = tmp_path / "test_batch.bin"
    path.write_bytes(bytes(size))
    with pytest.raises(DataError, match=rf"test_batch\.bin holds {size} bytes"):
        read_binary(path, images=2)


def test_binary_unreadable(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        read_binary(tmp_path / "none")


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("place", ["cifar10/cifar-10-batches-bin", "cifar-10-batches-bin"])
def test_loads_the_folder(tmp_path: Path, place: str) -> None:
    _write_folder(tmp_path / place)
    data = load_dataset("cifar10", data_dir=tmp_path)
    assert data.train_inputs.shape == (10, 3, 32, 32)
    assert data.input_shape == (3, 32, 32)
    assert data.train_targets.tolist() == [0, 0, 1, 1, 2, 2, 3, 3, 4, 4]
    assert data.test_targets.tolist() == [5, 5]
    raw, mean, deviation = torch.tensor([[10, 20, 30], [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616]])
    torch.testing.assert_close(data.test_inputs[1, :, 31, 31], (raw / 255 - mean) / deviation)


@pytest.mark.usefixtures("small_files")
def test_label_out_of_range_names_the_file(tmp_path: Path) -> None:
    folder = _write_folder(tmp_path / "cifar-10-batches-bin")
    (folder / "data_batch_3.bin").write_bytes(_rows(2, label=11).tobytes())
    with pytest.raises(DataError, match=r"data_batch_3\.bin holds the label 11"):
        load_dataset("cifar10", data_dir=tmp_path)


@pytest.mark.parametrize("place", ["cifar10.npz", "cifar10/cifar10.npz"])
def test_loads_the_archive(tmp_path: Path, place: str) -> None:
    _write_archive(tmp_path / place)
    data = load_dataset("cifar10", data_dir=tmp_path)
    assert data.train_inputs.shape == (4, 3, 32, 32)
    assert data.test_targets.tolist() == [8, 9]
    torch.testing.assert_close(data.train_inputs[0, 0], torch.full((32, 32), (1 - 0.4914) / 0.2470))


def test_archive_layouts_agree(tmp_path: Path) -> None:
    images = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3)).astype(np.uint8)
    last = read_archive(_write_archive(tmp_path / "last.npz", x_test=images))
    first = read_archive(_write_archive(tmp_path / "first.npz", x_test=images.transpose(0, 3, 1, 2)))
    np.testing.assert_array_equal(last["x_test"], first["x_test"])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"y_test": None}, "y_test"),
        ({"x_train": np.zeros((4, 32, 32, 3), np.float32)}, "x_train in .* is float32"),
        ({"x_test": np.zeros((2, 28, 28), np.uint8)}, r"x_test in .* of shape \(2, 28, 28\)"),
        ({"y_train": np.zeros(4)}, "y_train in .* is float64"),
        ({"y_train": np.zeros((4, 10), int)}, r"y_train in .* of shape \(4, 10\)"),
        ({"y_train": np.zeros(3, int)}, "3 labels for 4 images"),
        ({"y_train": np.array([0, 1, 2, -1])}, "the label -1"),
        ({"y_train": np.array([{}] * 4, object)}, "cannot be read"),
    ],
)
def test_wrong_archive(tmp_path: Path, changes: dict[str, np.ndarray | None], message: str) -> None:
    path = _write_archive(tmp_path / "cifar10.npz", **changes)
    with pytest.raises(DataError, match=message) as raised:
        load_dataset("cifar10", data_dir=tmp_path)
    assert str(path) in str(raised.value)


@pytest.mark.parametrize("kind", ["empty", "text", "cut", "npy", "flipped"])
def test_damaged_archive(tmp_path: Path, kind: str) -> None:
    path = _write_archive(tmp_path / "cifar10.npz")
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 3] ^= 0xFF
    single = io.BytesIO()
    np.save(single, np.zeros(3))
    damaged = {
        "empty": b"",
        "text": b"not found",
        "cut": content[: len(content) // 2],
        "npy": single.getvalue(),
        "flipped": bytes(flipped),
    }
    path.write_bytes(damaged[kind])
    with pytest.raises(DataError, match=r"cifar10\.npz cannot be read"):
        load_dataset("cifar10", data_dir=tmp_path)


def _tar(path: Path, members: dict[str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    return path


def test_unpack_takes_the_six_files_and_nothing_else(tmp_path: Path) -> None:
    members = {f"cifar-10-batches-bin/{name}": name.encode() for name in _NAMES}
    members |= {"../escaped": b"x", "cifar-10-batches-bin/readme.html": b"x"}
    target = tmp_path / "inner" / "cifar-10-batches-bin"
    unpack(_tar(tmp_path / "archive.tar.gz", members), target)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == {n: n.encode() for n in _NAMES}
    assert [path.name for path in target.parent.iterdir()] == [target.name]
    assert not (tmp_path / "escaped").exists()


@pytest.mark.parametrize("kind", ["lacks a file", "cut", "text", "folder"])
def test_unpack_damaged(tmp_path: Path, kind: str) -> None:
    random = np.random.default_rng(0)
    members = {f"cifar-10-batches-bin/{name}": random.bytes(5000) for name in _NAMES}
    if kind == "lacks a file":
        members.popitem()
    archive = _tar(tmp_path / "archive.tar.gz", members)
    if kind == "cut":
        archive.write_bytes(archive.read_bytes()[:9000])
    if kind == "text":
        archive.write_text("not found")
    if kind == "folder":
        with tarfile.open(archive, "w:gz") as tar:
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{_NAMES[0]}")
            info.type = tarfile.DIRTYPE
            tar.addfile(info)
    with pytest.raises(DataError, match="could not be unpacked"):
        unpack(archive, tmp_path / "target")


@pytest.mark.usefixtures("small_files")
def test_download_unpacks_into_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def download(urls: list[str], sha256: str, target: Path) -> None:
        assert urls == ["https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz"]
        target.parent.mkdir(parents=True)
        _tar(target, {f"cifar-10-batches-bin/{name}": _rows(2).tobytes() for name in _NAMES})

    monkeypatch.setattr(_cifar10, "download_file", download)
    assert load_dataset("cifar10").train_inputs.shape == (10, 3, 32, 32)
    monkeypatch.setattr(_cifar10, "download_file", None)
    assert load_dataset("cifar10").train_inputs.shape == (10, 3, 32, 32)  # the second time it is there
    assert [path.name for path in (tmp_path / "cache/rankfold/cifar10").iterdir()] == ["cifar-10-batches-bin"]


def test_not_found(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="six files of the binary version not found") as raised:
        load_dataset("cifar10", data_dir=tmp_path, download=False)
    assert str(tmp_path / "cifar10.npz") in str(raised.value)


def test_offline() -> None:
    with pytest.raises(DataError, match=r"could not download cifar-10-binary\.tar\.gz"):
        load_dataset("cifar10")
