"""Files and folders of sharded tensors: every damage is a sentence, and nothing outside the folder is read."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings

from rankfold import DataError, OptionError
from rankfold.decompose import Sharded

X = np.arange(60.0).reshape(3, 4, 5)


def npy(folder: Path, header: bytes, body: bytes = X.tobytes(), version: bytes = b"\x01\x00") -> Path:
    """A file with any header."""
    path = folder / "x.npy"
    size = len(header).to_bytes(2 if version == b"\x01\x00" else 4, "little")
    path.write_bytes(b"\x93NUMPY" + version + size + header + body)
    return path


def described(descr: str = "'<f8'", order: str = "False", shape: str = "(3, 4, 5)") -> bytes:
    return f"{{'descr': {descr}, 'fortran_order': {order}, 'shape': {shape}, }}\n".encode("latin1")


def shards(folder: Path, count: int = 3) -> Path:
    place = folder / "shards"
    place.mkdir()
    for index in range(count):
        np.save(place / f"part_{index}.npy", X[index : index + 1])
    return place


def whole(x: Sharded) -> np.ndarray:
    return x.read([slice(0, size) for size in x.shape], torch.float64).numpy()


def test_a_header_by_hand_is_read(tmp_path: Path) -> None:
    for version in (b"\x01\x00", b"\x02\x00", b"\x03\x00"):
        assert np.array_equal(whole(Sharded.from_npy(npy(tmp_path, described(), version=version))), X)
    assert np.array_equal(whole(Sharded.from_npy(npy(tmp_path, described(), X.tobytes() + b"more"))), X)


@pytest.mark.parametrize(
    ("header", "sentence"),
    [
        (described("'|O'"), "the file holds object; allowed are real numbers"),
        (described("'<c16'"), "the file holds complex128; allowed are real numbers"),
        (described("'<U4'"), "allowed are real numbers"),
        (described("'<M8[s]'"), "allowed are real numbers"),
        (described("[('a', '<f8')]"), "allowed are real numbers"),
        (described("('<f8', (2,))"), "allowed are real numbers"),
        (described("'<V0'"), "allowed are real numbers"),
        (described(shape="(60,)"), r"the array has shape \(60,\); allowed are 2 to 64 dimensions"),
        (described(shape=f"({'1,' * 70})"), r"1, 1; allowed are 2 to 64 dimensions"),
        (described(shape="()"), r"the array has shape \(\)"),
        (described(shape="(3, 0, 5)"), r"the array has shape \(3, 0, 5\)"),
        (described(shape="(-3, -4, 5)"), r"its shape is \(-3, -4, 5\)"),
        (described(shape="(3, 4, 50)"), "has 5.. bytes, its header .* asks for .*; it was cut short"),
        (described(shape=f"({10**30}, {10**30})"), "it was cut short"),
        (described(shape="(3.0, 20)"), "damaged or no NumPy file"),
        (described(shape="(True, 60)"), r"its shape is \(True, 60\)"),
        (described(shape="__import__('os')"), "damaged or no NumPy file"),
        (described("'<f8'", "1"), "damaged or no NumPy file"),
        (b"{" * 9000, "damaged or no NumPy file"),
        (b"(" * 5000, "damaged or no NumPy file"),
        (b"\xff" * 100, "damaged or no NumPy file"),
        (b"", "damaged or no NumPy file"),
    ],
    ids=lambda value: None if isinstance(value, bytes) else str(value)[:40],
)
def test_damaged_headers(header: bytes, sentence: str, tmp_path: Path) -> None:
    path = npy(tmp_path, header)
    with pytest.raises(DataError, match=sentence) as raised:
        Sharded.from_npy(path)
    assert str(raised.value).startswith(str(path))


def test_a_header_that_claims_gigabytes_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x.npy"
    with path.open("wb") as file:
        file.write(b"\x93NUMPY\x02\x00" + (2**31).to_bytes(4, "little"))
        file.truncate(2**31 + 100)  # a hole, no gigabytes on the disk
    with pytest.raises(DataError, match="damaged"):
        Sharded.from_npy(path)


@given(st.data())
@example(None)
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_change_of_a_byte_is_an_array_or_a_sentence(tmp_path: Path, data: st.DataObject | None) -> None:
    path = tmp_path / "y.npy"
    np.save(path, X)
    if data is not None:
        raw = bytearray(path.read_bytes())
        for _ in range(data.draw(st.integers(1, 3))):
            raw[data.draw(st.integers(0, 127))] = data.draw(st.integers(0, 255))
        path.write_bytes(bytes(raw[: data.draw(st.integers(0, len(raw)))]))
    try:
        size = whole(Sharded.from_npy(path)).size
    except DataError as error:
        said = str(error)
    else:
        assert size <= len(X.tobytes())
        return
    assert said.startswith(str(path))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: None, "cannot be read"),
        (lambda path: path.mkdir(), "is no regular file"),
        (lambda path: os.mkfifo(path), "is no regular file"),
        (lambda path: path.write_bytes(b""), "damaged"),
        (lambda path: path.symlink_to(path), "cannot be read"),
    ],
    ids=["nothing", "folder", "pipe", "empty", "link to itself"],
)
def test_what_is_no_file(make: Callable[[Path], object], sentence: str, tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    make(path)
    with pytest.raises(DataError, match=rf"x\.npy: .*{sentence}"):
        Sharded.from_npy(path)


@pytest.mark.parametrize("path", [None, 3, b"x.npy", ["x.npy"]], ids=str)
def test_what_is_no_path(path: object) -> None:
    for make in (Sharded.from_npy, Sharded.from_folder):
        with pytest.raises(OptionError, match=r"^Sharded: the path is a"):
            make(path)  # type: ignore[operator]


def test_shards_in_natural_order_and_in_that_of_the_list(tmp_path: Path) -> None:
    place = tmp_path / "many"
    place.mkdir()
    for index in range(12):
        np.save(place / f"part_{index}.npy", np.full((1, 2), index))
    (place / "readme.txt").write_text("not a shard")
    assert whole(Sharded.from_folder(place))[:, 0].tolist() == list(range(12))
    names = ["part_7.npy", "part_3.npy"]
    (place / "shards.json").write_text(json.dumps(names))
    assert whole(Sharded.from_folder(place))[:, 0].tolist() == [7, 3]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", "the list is damaged"),
        ("[" * 100_000, "the list is damaged"),
        ('{"a": 1}', "allowed is a list of names"),
        ("[]", "allowed is a list of names"),
        ("[1, 2]", "allowed is a list of names"),
        ("9" * 5000, "the list is damaged"),
        ('["../x.npy"]', "allowed are the plain names"),
        ('["/etc/x.npy"]', "allowed are the plain names"),
        ('["a\\\\b.npy"]', "allowed are the plain names"),
        ('["a\\u0000.npy"]', "allowed are the plain names"),
        ('["part_0.txt"]', "allowed are the plain names"),
        ('["part_0.npy", "part_0.npy"]', "lists 'part_0.npy' twice"),
        ('["part_0.npy", "<script>.npy"]', "<script>.npy: cannot be read"),
        ('["' + "é" * 300 + '.npy"]', "cannot be read"),
    ],
    ids=lambda text: text[:20],
)
def test_damaged_lists(text: str, sentence: str, tmp_path: Path) -> None:
    place = shards(tmp_path)
    (place / "shards.json").write_text(text)
    with pytest.raises(DataError, match=sentence):
        Sharded.from_folder(place)


def test_a_list_that_is_no_file_or_not_of_this_encoding(tmp_path: Path) -> None:
    place = shards(tmp_path)
    os.mkfifo(place / "shards.json")
    with pytest.raises(DataError, match="the list is damaged"):
        Sharded.from_folder(place)
    (place / "shards.json").unlink()
    (place / "shards.json").write_bytes(b'["\xff.npy"]')
    with pytest.raises(DataError, match="the list is damaged"):
        Sharded.from_folder(place)


def test_links_may_not_lead_out_of_the_folder(tmp_path: Path) -> None:
    place = shards(tmp_path)
    (place / "part_3.npy").symlink_to(place / "part_0.npy")
    assert Sharded.from_folder(place).shape == (4, 4, 5)
    np.save(tmp_path / "secret.npy", X)
    (place / "part_4.npy").symlink_to(tmp_path / "secret.npy")
    with pytest.raises(DataError, match=r"'part_4\.npy' is a link out of the folder"):
        Sharded.from_folder(place)


@pytest.mark.parametrize(
    ("other", "sentence"),
    [
        (X[:1].astype("f4"), r"the array is float32 of shape \(1, 4, 5\); allowed is float64"),
        (X[:1].astype(">f8"), "the array is >f8"),
        (
            X[:1, :3],
            r"the array is float64 of shape \(1, 3, 5\); allowed is float64 of the shape \(1, 4, 5\) of part_0.npy",
        ),
        (X[0], "the array has 2 modes, that of part_0.npy has 3"),
    ],
    ids=["dtype", "byte order", "shape", "order"],
)
def test_shards_that_do_not_fit(other: np.ndarray, sentence: str, tmp_path: Path) -> None:
    place = shards(tmp_path)
    np.save(place / "part_2.npy", other)
    with pytest.raises(DataError, match=rf"part_2\.npy: {sentence}"):
        Sharded.from_folder(place)


@pytest.mark.parametrize("axis", [-1, 3, True, "0", None])
def test_an_axis_that_there_is_not(axis: object, tmp_path: Path) -> None:
    with pytest.raises(OptionError, match=r"axis must be a mode in 0\.\.2"):
        Sharded.from_folder(shards(tmp_path), axis)  # type: ignore[arg-type]


def test_folders_without_shards(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"the folder holds no \.npy files"):
        Sharded.from_folder(tmp_path)
    with pytest.raises(DataError, match="there is no such folder"):
        Sharded.from_folder(tmp_path / "none")


def test_a_file_that_shrinks_while_it_is_read_is_refused(tmp_path: Path) -> None:
    path = npy(tmp_path, described())
    x = Sharded.from_npy(path)
    os.truncate(path, 200)
    with pytest.raises(DataError, match="was changed or removed while it was read"):
        whole(x)
    path.unlink()
    with pytest.raises(DataError, match="was changed or removed while it was read"):
        whole(x)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="counts open files where Linux lists them")
def test_no_file_stays_open_for_there_may_be_thousands(tmp_path: Path) -> None:
    folder = shards(tmp_path)
    before = len(list(Path("/proc/self/fd").iterdir()))
    x = Sharded.from_folder(folder)
    whole(x)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_long_shapes_of_many_modes(tmp_path: Path) -> None:
    path = tmp_path / "x.npy"
    np.save(path, np.arange(2.0**12).reshape((2,) * 12))
    assert np.array_equal(whole(Sharded.from_npy(path)), np.load(path))
