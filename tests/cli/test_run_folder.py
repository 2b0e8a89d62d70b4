"""Files of a run are complete or not there."""

import pytest

from rankfold._errors import CheckpointError
from rankfold.cli import _run_folder
from rankfold.cli._run_folder import RunFolder
from rankfold.cli._train_config import TrainConfig


@pytest.fixture
def folder(tmp_path):
    folder = RunFolder(tmp_path / "deep" / "run")
    folder.create(TrainConfig())
    return folder


def test_lines_round_trip_and_are_replaced(folder):
    assert folder.read_lines(folder.metrics) == []
    folder.write_lines(folder.metrics, [{"epoch": 1}, {"epoch": 2}])
    folder.write_lines(folder.metrics, [{"epoch": 3, "loss": 0.1}])
    assert folder.read_lines(folder.metrics) == [{"epoch": 3, "loss": 0.1}]


@pytest.mark.parametrize("write", ["write_config", "write_lines", "write_checkpoint"])
def test_a_write_that_fails_leaves_the_old_file(folder, write, monkeypatch):
    folder.write_lines(folder.metrics, [{"epoch": 1}])
    folder.write_checkpoint({"epoch": 1}, 2)
    before = {file.name: file.read_bytes() for file in folder.path.iterdir()}

    def full(*positional, **named):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pathlib.Path.write_text", full)
    monkeypatch.setattr("safetensors.torch.save_file", full)
    arguments = {
        "write_config": (TrainConfig(seed=1),),
        "write_lines": (folder.metrics, [{"epoch": 2}]),
        "write_checkpoint": ({"epoch": 2}, 2),
    }
    with pytest.raises(CheckpointError, match="No space left"):
        getattr(folder, write)(*arguments[write])
    assert {file.name: file.read_bytes() for file in folder.path.iterdir()} == before


def test_a_folder_with_other_files_may_hold_a_run(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    RunFolder(tmp_path).create(TrainConfig())
    assert (tmp_path / "notes.txt").read_text() == "mine"
    with pytest.raises(CheckpointError, match="holds a run already"):
        RunFolder(tmp_path).create(TrainConfig())


def test_the_checkpoint_is_written_last(train, small, monkeypatch):
    written = []
    replace = _run_folder.atomic_path

    def noted(path):
        if not path.name.startswith("."):  # a checkpoint is written twice over, the inner one under no name
            written.append(path.name)
        return replace(path)

    monkeypatch.setattr(_run_folder, "atomic_path", noted)
    monkeypatch.setattr("rankfold._checkpoint._file.atomic_path", noted)
    assert train(*small, "--epochs", "1", folder="run") == 0
    lines = ["metrics.jsonl", "ranks.jsonl"]
    checkpoint = "checkpoint.safetensors"
    training = ["config.json", *lines, checkpoint, "model.safetensors", *lines, checkpoint]
    assert written == [*training, "times.json"]
