"""``rankfold train --diagnose``."""

import json

import pytest
import torch
from tests.cli.test_resume import assert_same_run

from rankfold import CheckpointError
from rankfold.cli import main
from rankfold.cli._report_training import read_training
from rankfold.cli._run_folder import RunFolder
from rankfold.diagnostics import TrainingMonitor

LAYERS = ["layers.0", "layers.1", "layers.2"]


def lines(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_every_layer_is_seen_at_the_start_and_after_every_epoch(train, small, tmp_path):
    assert train(*small, "--diagnose", folder="a") == 0
    found = lines(tmp_path / "a" / "diagnostics.jsonl")
    assert [(line["step"], line["layer"]) for line in found] == [
        (step, layer) for step in (0, 10, 20) for layer in LAYERS
    ]
    assert all(line["update_rank"] == 0 for line in found[:3])
    assert all(line["movement"] > 0 and line["curvature"] > 0 for line in found[3:])
    record = read_training(tmp_path / "a", "a")
    assert [state.rank for state in record.states] == [line["rank"] for line in found]
    assert "How did the weights change?" in (tmp_path / "a" / "report.html").read_text(encoding="utf-8")


def test_the_training_is_the_same_and_its_page_has_no_such_section(train, small, tmp_path):
    train(*small, folder="a")
    train(*small, "--diagnose", folder="b")
    first, second = (read_training(tmp_path / name, name) for name in "ab")
    assert first.states == ()
    assert first.changes == second.changes
    assert [line["train_loss"] for line in first.metrics] == [line["train_loss"] for line in second.metrics]
    assert "How did the weights change?" not in (tmp_path / "a" / "report.html").read_text(encoding="utf-8")


def test_a_resumed_run_sees_what_the_uninterrupted_one_sees(train, small, tmp_path, capsys):
    train(*small, "--diagnose", folder="a")
    assert train(*small, "--diagnose", folder="b", stop_after=14) == 130
    assert "go on with: rankfold train --resume b --diagnose\n" in capsys.readouterr().err
    assert train("--resume", "b", "--diagnose") == 0
    assert_same_run(tmp_path / "a", tmp_path / "b")
    assert lines(tmp_path / "a" / "diagnostics.jsonl") == lines(tmp_path / "b" / "diagnostics.jsonl")


def test_a_run_that_goes_on_without_keeps_what_was_seen(train, small, tmp_path):
    assert train(*small, "--diagnose", folder="b", stop_after=14) == 130
    assert train("--resume", "b") == 0
    assert {line["step"] for line in lines(tmp_path / "b" / "diagnostics.jsonl")} == {0, 10}


def test_a_damaged_line_is_told(train, small, tmp_path):
    train(*small, "--epochs", "1", "--diagnose", folder="a")
    folder = RunFolder(tmp_path / "a")
    found = lines(folder.diagnostics)
    for damage in ({"rank": -1}, {"step": 2**60}, {"update_rank": True}, {"more": 1}, {"rank": None}):
        folder.write_lines(folder.diagnostics, [found[0], {**found[1], **damage}])
        with pytest.raises(
            CheckpointError, match=r"diagnostics\.jsonl: a line is damaged .*; restore the file\."
        ):
            read_training(tmp_path / "a", "a")


def test_a_loop_of_ones_own_has_a_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for number, name in enumerate(("one.diagnostics.jsonl", "diagnostics.jsonl")):
        torch.manual_seed(number)
        model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2))
        monitor = TrainingMonitor(model)
        monitor(0)
        with torch.no_grad():
            model[0].get_parameter("weight").add_(1)
        monitor(12)
        monitor.write(name)
    assert main(["report", "diagnostics.jsonl"]) == 0
    page = (tmp_path / "diagnostics.html").read_text(encoding="utf-8")
    assert "How did the weights change?" in page
    assert "2 layers, looked at 2 times, from step 0 to step 12." in page
    assert "0 1, 2 0." in page  # a change of rank 1, and none
    assert main(["report", "diagnostics.jsonl", "one.diagnostics.jsonl", "--out", "both.html"]) == 0
    assert "How did the weights of one.diagnostics.jsonl change?" in (tmp_path / "both.html").read_text(
        encoding="utf-8"
    )


def test_a_file_without_lines_says_so(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "diagnostics.jsonl").touch()
    assert main(["report", "diagnostics.jsonl"]) == 0
    assert "No step was looked at." in (tmp_path / "diagnostics.html").read_text(encoding="utf-8")
