"""What happens to the model and to the disk when a file is not as it should be."""

import json
import os
import pickle
import stat
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tests import hostile_files
from tests.test_checkpoint import equal, network, saved, state
from torch import nn

from rankfold import CheckpointError, load, save
from rankfold._checkpoint import load_state


def tampered(path: Path, **changes: object) -> None:
    """Write the file again with another header."""
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["rankfold"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    save_file(tensors, path, metadata={"rankfold": json.dumps({**header, **changes})})


@pytest.mark.parametrize("damage", ["missing", "folder", "empty", "cut", "text", "header", "newer", "alias"])
def test_damaged_files(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "net.safetensors"
    saved(path)
    content = path.read_bytes()
    if damage == "missing":
        path.unlink()
    elif damage == "folder":
        path = tmp_path
    elif damage == "header":
        save_file({"a": torch.ones(1)}, path, metadata={"rankfold": "[not json"})
    elif damage == "newer":
        tampered(path, version="rankfold-99")
    elif damage == "alias":
        tampered(path, aliases={"3.bias": "nowhere"})
    else:
        path.write_bytes({"empty": b"", "cut": content[: len(content) // 2], "text": b"x" * 100}[damage])
    model = network()
    before = state(model)
    with pytest.raises(CheckpointError):
        load(model, path)
    assert equal(state(model), before)
    with pytest.raises(CheckpointError):
        load_state(path)


def test_files_of_the_first_format_load(tmp_path: Path) -> None:
    """They have no digest and no versions."""
    path, model = tmp_path / "net.safetensors", network()
    original = saved(path)
    with safe_open(path, framework="pt") as file:
        header = json.loads(file.metadata()["rankfold"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - no mapping
    del header["versions"]
    text = json.dumps({**header, "version": "rankfold-1"})
    save_file(tensors, path, metadata={"format": "pt", "rankfold": text})
    load(model, path)
    assert equal(state(model), state(original))
    header["layers"]["3"]["ranks"] = [1, 1]
    save_file(tensors, path, metadata={"rankfold": json.dumps({**header, "version": "rankfold-1"})})
    with pytest.raises(CheckpointError, match="layer '3' does not match its tensors"):
        load(model, path)
    assert equal(state(model), state(original))


def test_a_digest_is_demanded(tmp_path: Path) -> None:
    saved(tmp_path / "net.safetensors")
    tampered(tmp_path / "net.safetensors")  # the same content, without the digest
    with pytest.raises(CheckpointError, match="does not match its digest"):
        load(network(), tmp_path / "net.safetensors")


def test_equal_models_have_equal_digests(tmp_path: Path) -> None:
    model = saved(tmp_path / "one")
    save(model, tmp_path / "two")
    with (
        safe_open(tmp_path / "one", framework="pt") as one,
        safe_open(tmp_path / "two", framework="pt") as two,
    ):
        assert one.metadata() == two.metadata()


@pytest.mark.parametrize("way", ["pickle", "torch.save", "torch.save as it was"])
def test_pickles_are_not_opened(tmp_path: Path, way: str) -> None:
    path, model = tmp_path / "net.pt", network()
    if way == "pickle":
        path.write_bytes(pickle.dumps(model.state_dict()))
    else:
        torch.save(model.state_dict(), path, _use_new_zipfile_serialization=way == "torch.save")
    with pytest.raises(CheckpointError, match="rankfold does not open"):
        load(model, path)


@pytest.mark.parametrize("length", [0x280, 0x380, 0x480, 0x580])
def test_a_header_as_long_as_pickles_begin_is_none(tmp_path: Path, length: int) -> None:
    header = {"weight": {"dtype": "F32", "shape": [1, 1], "data_offsets": [0, 4]}}
    text = json.dumps(header).encode().ljust(length)
    (tmp_path / "net").write_bytes(hostile_files.raw(text, bytes(4)))
    model = nn.Linear(1, 1, bias=False)
    load(model, tmp_path / "net")
    assert model.weight.item() == 0


def test_failure_while_writing_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.safetensors"
    saved(path)
    content = path.read_bytes()

    def fails(tensors: object, filename: Path, metadata: object) -> None:
        filename.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", fails)
    with pytest.raises(CheckpointError, match="No space left on device"):
        save(network(), path)
    assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_interruption_while_writing_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(tensors: object, filename: Path, metadata: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("safetensors.torch.save_file", interrupted)
    with pytest.raises(KeyboardInterrupt):
        save(network(), tmp_path / "net.safetensors")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_does_not_exist(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="name a folder that exists"):
        save(network(), tmp_path / "nowhere" / "net.safetensors")


def test_devices_and_pipes_are_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(CheckpointError, match="name another file"):
        save(network(), pipe)
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]


def test_a_name_with_a_zero_byte(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="name another file"):
        save(network(), tmp_path / "net\0work")


def test_others_may_read_the_file(tmp_path: Path) -> None:
    saved(tmp_path / "net.safetensors")
    assert stat.S_IMODE((tmp_path / "net.safetensors").stat().st_mode) == 0o644


def test_state_that_is_no_tensor(tmp_path: Path) -> None:
    class WithExtra(nn.Linear):
        def get_extra_state(self) -> dict:
            return {"a": 1}

    with pytest.raises(CheckpointError, match="'_extra_state' is a dict"):
        save(WithExtra(2, 2), tmp_path / "net.safetensors")
    assert list(tmp_path.iterdir()) == []
