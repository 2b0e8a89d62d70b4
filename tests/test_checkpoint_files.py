"""What happens to the model and to the disk when a file is not as it should be."""

import json
import stat
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file
from tests.test_checkpoint import equal, network, saved, state
from torch import nn

from rankfold import CheckpointError, load, save
from rankfold._checkpoint import load_state, read_layouts


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


def test_tensors_that_do_not_fit_the_header(tmp_path: Path) -> None:
    path, model = tmp_path / "net.safetensors", network()
    saved(path)
    layers = read_layouts(path)
    layers["3"]["ranks"] = [1, 1]
    tampered(path, layers=layers)
    before = state(model)
    with pytest.raises(CheckpointError, match=r"'3\.core'"):
        load(model, path)
    assert equal(state(model), before)


def test_file_of_another_program(tmp_path: Path) -> None:
    model, other = network(), network()
    save_file(model.state_dict(), tmp_path / "plain.safetensors")
    load(other, tmp_path / "plain.safetensors")  # a dense model as everyone stores it
    assert equal(state(other), state(model))
    assert read_layouts(tmp_path / "plain.safetensors") == {}
    with pytest.raises(CheckpointError, match="no training state"):
        load_state(tmp_path / "plain.safetensors")


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
