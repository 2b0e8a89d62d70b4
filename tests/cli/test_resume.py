"""A resumed run is the uninterrupted one, bit for bit."""

import json

import pytest
import torch
from safetensors.torch import load_file

LENET = ["--model", "lenet5", "--rank", "0.3", "--epochs", "2", "--batch-size", "144", "--threads", "1"]


def lines(file):
    found = [json.loads(line) for line in file.read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "seconds"} for line in found]


def assert_same_run(a, b):
    for name in ("model.safetensors", "checkpoint.safetensors"):
        first, second = load_file(a / name), load_file(b / name)
        assert sorted(first) == sorted(second)
        assert [key for key in first if not torch.equal(first[key], second[key])] == []
    assert lines(a / "metrics.jsonl") == lines(b / "metrics.jsonl")
    assert (a / "ranks.jsonl").read_text() == (b / "ranks.jsonl").read_text()
    assert (a / "config.json").read_text() == (b / "config.json").read_text()


@pytest.mark.parametrize(
    ("words", "stop_after"),
    [
        (["--core-steps", "4"], 3),  # in the middle of the first epoch and cycle: ranks are augmented
        (["--core-steps", "4"], 13),
        (["--core-steps", "4"], 10),  # after the last batch of an epoch, before its truncation
        (["--core-steps", "3", "--optimizer", "adam"], 12),
        (["--core-steps", "3", "--optimizer", "adamw", "--integrator", "parallel"], 15),
        (["--core-steps", "3", "--integrator", "fixed"], 6),
        (["--core-steps", "1"], 14),
        (["--dense"], 14),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else str(value),
)
def test_resumed_equals_uninterrupted(train, tmp_path, words, stop_after, capsys):
    assert train(*LENET, *words, folder="a") == 0
    assert train(*LENET, *words, folder="b", stop_after=stop_after) == 130
    epoch, batch = divmod(stop_after - 1, 10)
    assert capsys.readouterr().err == (
        f"rankfold: interrupted in epoch {epoch + 1} after batch {batch + 1}; "
        "go on with: rankfold train --resume b\n"
    )
    assert train("--resume", "b") == 0
    assert_same_run(tmp_path / "a", tmp_path / "b")


def test_interrupted_again_and_again(train, small, tmp_path):
    train(*small, folder="a")
    assert train(*small, folder="b", stop_after=1) == 130
    for _ in range(3):
        assert train("--resume", "b", stop_after=5) == 130
    assert train("--resume", "b") == 0
    assert_same_run(tmp_path / "a", tmp_path / "b")


def test_ranks_above_what_the_shape_allows_in_the_middle_of_a_cycle(train, tmp_path):
    words = ["--model", "mlp", "--rank", "8", "--epochs", "1", "--batch-size", "144", "--threads", "1"]
    train(*words, folder="a")
    assert train(*words, folder="b", stop_after=2) == 130  # 10x500 with ranks 10x16: no matrix needs them
    assert train("--resume", "b") == 0
    assert_same_run(tmp_path / "a", tmp_path / "b")


def test_lines_that_the_checkpoint_does_not_know_are_cut(train, small, tmp_path):
    train(*small, folder="a")
    train(*small, folder="b", stop_after=14)
    for name in (
        "metrics.jsonl",
        "ranks.jsonl",
    ):  # as a kill between the files and the checkpoint leaves them
        with (tmp_path / "b" / name).open("a") as file:
            file.write('{"epoch": 2, "layer": "layers.0"}\n')
    assert train("--resume", "b") == 0
    assert_same_run(tmp_path / "a", tmp_path / "b")


def test_a_signal_between_two_epochs(train, small, tmp_path, monkeypatch, capsys):
    import signal

    from rankfold.cli._training_run import TrainingRun

    end_epoch = TrainingRun.end_epoch

    def with_signal(self, metrics):
        signal.raise_signal(signal.SIGTERM)
        return end_epoch(self, metrics)

    monkeypatch.setattr(TrainingRun, "end_epoch", with_signal)
    assert train(*small, folder="run") == 0
    assert "in epoch 2 after batch 0" in capsys.readouterr().err
    assert train("--resume", "run") == 0  # the last epoch is complete, so there is nothing to stop
    assert [line["epoch"] for line in lines(tmp_path / "run" / "metrics.jsonl")] == [1, 2]


def test_a_complete_run_says_so_and_more_epochs_go_on(train, small, tmp_path, capsys):
    train(*small, folder="run")
    before = {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir()}
    capsys.readouterr()
    assert train("--resume", "run") == 0
    out = capsys.readouterr().out
    assert "The run is complete, 2 of 2 epochs" in out
    assert "test accuracy" in out
    assert before == {file.name: file.read_bytes() for file in (tmp_path / "run").iterdir()}
    assert train("--resume", "run", "--epochs", "3") == 0
    assert [line["epoch"] for line in lines(tmp_path / "run" / "metrics.jsonl")] == [1, 2, 3]
    assert json.loads((tmp_path / "run" / "config.json").read_text())["epochs"] == 3


def test_flags_that_agree_may_be_repeated_and_others_not(train, small, capsys):
    train(*small, "--seed", "3", folder="run", stop_after=2)
    capsys.readouterr()
    for flag, value in (("--seed", "0"), ("--rank", "0.5"), ("--model", "lenet5"), ("--out", "other")):
        assert train("--resume", "run", flag, value) == 2
        assert f"{flag} {value} contradicts the run run" in capsys.readouterr().err
    assert train("--resume", "run", "--seed", "3", "--device", "cpu", "--data-dir", ".") == 0
