"""Checkpoints of a run that are damaged, missing or cut off, and SIGTERM at every moment."""

import json
import os
import signal
from dataclasses import fields

import pytest
from tests.cli.test_resume import assert_same_run, lines

from rankfold.cli import _train
from rankfold.cli._training_run import TrainingRun

EVERY = ["--checkpoint-every", "3"]


def flip(file, at=0.7):
    content = bytearray(file.read_bytes())
    content[int(at * len(content))] ^= 1
    file.write_bytes(content)


@pytest.fixture
def whole(train, small, tmp_path, capsys):
    assert train(*small, folder="a") == 0
    capsys.readouterr()
    return tmp_path / "a"


def test_a_damaged_checkpoint_gives_way_to_the_one_before(train, small, tmp_path, whole, capsys):
    assert train(*small, *EVERY, folder="b", stop_after=14) == 130
    assert capsys.readouterr().err.endswith("rankfold train --resume b --checkpoint-every 3\n")
    run = tmp_path / "b"
    assert sorted(file.name for file in run.glob("checkpoint*")) == [
        "checkpoint-2.safetensors",
        "checkpoint.safetensors",
    ]
    flip(run / "checkpoint.safetensors")
    (run / ".metrics.jsonl.abc.part").write_text("cut off")
    assert train("--resume", "b") == 0
    told = " ".join(capsys.readouterr().out.split())
    assert "b/checkpoint.safetensors: the file is damaged: its content does not match its digest" in told
    assert "goes on from checkpoint-2.safetensors." in told
    assert (run / "checkpoint.safetensors.damaged").is_file()
    assert not list(run.glob(".*.part"))
    assert_same_run(whole, run)


def test_a_gap_is_skipped_and_all_damaged_is_refused(train, small, tmp_path, whole, capsys):
    assert train(*small, *EVERY, "--keep", "3", folder="b", stop_after=14) == 130
    run = tmp_path / "b"
    assert len(list(run.glob("checkpoint*"))) == 3
    (run / "checkpoint.safetensors").rename(run / "held")  # as a kill between two renames leaves it
    for file in run.glob("checkpoint-*.safetensors"):
        flip(file)
    capsys.readouterr()
    assert train("--resume", "b") == 2
    assert "all 2 checkpoints are damaged, the newest: b/checkpoint-2" in capsys.readouterr().err
    flip(run / "checkpoint-3.safetensors")  # back
    (run / "checkpoint-2.safetensors").unlink()
    assert train("--resume", "b", "--keep", "1") == 0
    assert "there is no such file; goes on from checkpoint-3.safetensors" in capsys.readouterr().out
    assert [file.name for file in run.glob("checkpoint*")] == ["checkpoint.safetensors"]
    assert_same_run(whole, run)


def test_a_run_without_its_first_checkpoint_begins_anew(train, small, tmp_path, whole):
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "config.json").write_text((whole / "config.json").read_text())
    assert train("--resume", "b") == 0
    assert_same_run(whole, tmp_path / "b")


def test_how_a_run_is_kept_is_no_setting_of_it(whole):
    stored = set(json.loads((whole / "config.json").read_text()))
    assert {field.name for field in fields(_train.TrainConfig)} - stored >= {"keep", "checkpoint_every"}


@pytest.mark.parametrize(("flag", "value"), [("--keep", "0"), ("--checkpoint-every", "0")])
def test_settings_out_of_range(train, flag, value, capsys):
    assert train(flag, value) == 2
    assert f"{flag} is 0, allowed is at least 1" in capsys.readouterr().err


def terminate(*positional, **named):
    os.kill(os.getpid(), signal.SIGTERM)


def before_it_starts(monkeypatch):
    start = _train.start_run
    monkeypatch.setattr(_train, "start_run", lambda config: (start(config), terminate())[0])
    return "epoch 1 after batch 0"


def during_the_first_checkpoint(monkeypatch):
    return while_saving(monkeypatch, 0, "epoch 1 after batch 0")


def during_a_checkpoint(monkeypatch):
    return while_saving(monkeypatch, 2, "epoch 1 after batch 6")


def while_saving(monkeypatch, number, where):
    from rankfold._checkpoint import _file

    write, count = _file._digest, iter(range(1000))

    def signalled(*given):
        if next(count) == number:
            terminate()
            terminate()  # a second one changes nothing
        return write(*given)

    monkeypatch.setattr(_file, "_digest", signalled)
    return where


def during_evaluation(monkeypatch):
    from rankfold.training import _loop

    evaluate = _loop.evaluate
    monkeypatch.setattr(_loop, "evaluate", lambda *given: (terminate(), evaluate(*given))[1])
    return "epoch 2 after batch 0"


@pytest.mark.parametrize(
    "moment", [before_it_starts, during_the_first_checkpoint, during_a_checkpoint, during_evaluation]
)
def test_termination_saves_and_ends_well(train, small, tmp_path, whole, moment, monkeypatch, capsys):
    with monkeypatch.context() as patched:
        where = moment(patched)
        assert train(*small, *EVERY, "--watch", folder="b") == 0
    assert f"rankfold: interrupted in {where}; go on with: rankfold train --resume b --watch" in (
        capsys.readouterr().err
    )
    assert not list((tmp_path / "b").glob(".*.part"))
    assert train("--resume", "b") == 0
    assert_same_run(whole, tmp_path / "b")


def test_termination_after_the_last_epoch_leaves_a_complete_run(train, small, tmp_path, monkeypatch, capsys):
    from rankfold.cli import _train as command

    measure = command.measure_times
    monkeypatch.setattr(command, "measure_times", lambda run, show: (terminate(), measure(run, show))[1])
    assert train(*small, folder="b") == 0
    assert "no times of the layers: interrupted." in capsys.readouterr().out
    assert len(lines(tmp_path / "b" / "metrics.jsonl")) == 2
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


def test_an_abort_after_termination_is_at_once(train, small, monkeypatch, capsys):
    end_epoch = TrainingRun.end_epoch

    def signalled(self, metrics):
        terminate()
        os.kill(os.getpid(), signal.SIGINT)
        return end_epoch(self, metrics)

    monkeypatch.setattr(TrainingRun, "end_epoch", signalled)
    assert train(*small, folder="b") == 130
    assert capsys.readouterr().err == "rankfold: interrupted.\n"


def test_termination_of_a_command_that_keeps_nothing(monkeypatch, capsys):
    from rankfold.cli import _app, main

    def twice(config):
        try:
            terminate()
        finally:
            terminate()

    monkeypatch.setattr(_app, "inspect", twice)
    assert main(["inspect", "x"]) == 143
    assert capsys.readouterr().err == "rankfold: interrupted.\n"
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
