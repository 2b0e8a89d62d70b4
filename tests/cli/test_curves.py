"""``rankfold train --tensorboard``, read back from its files."""

import json
import sys

import pytest

from rankfold.cli._training_run import TrainingRun

event_accumulator = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator", reason="tensorboard is not installed"
)

BATCHES = 10  # of 144 samples of the digits


def curves(run):
    everything = {event_accumulator.SCALARS: 0}
    found = event_accumulator.EventAccumulator(str(run / "tensorboard"), size_guidance=everything).Reload()
    return {
        name: [(event.step, event.value) for event in found.Scalars(name)] for name in found.Tags()["scalars"]
    }


def lines(file):
    return [json.loads(line) for line in file.read_text().splitlines()]


def test_everything_that_happens_is_there(train, small, tmp_path):
    assert train(*small, "--tensorboard", folder="run") == 0
    found, metrics = curves(tmp_path / "run"), lines(tmp_path / "run" / "metrics.jsonl")
    ends = [BATCHES, 2 * BATCHES]
    for name, key in (
        ("loss/train", "train_loss"),
        ("loss/test", "test_loss"),
        ("accuracy/train", "train_accuracy"),
        ("accuracy/test", "test_accuracy"),
        ("size/parameters", "parameters"),
        ("size/compression", "compression"),
    ):
        wanted = [
            (step, pytest.approx(line[key], rel=1e-6)) for step, line in zip(ends, metrics, strict=True)
        ]
        assert found[name] == wanted
    assert [step for step, _ in found["loss/batch"]] == list(range(1, 2 * BATCHES + 1))
    assert found["learning_rate"][-1] == (20, pytest.approx(metrics[-1]["learning_rate"], abs=1e-7))
    for line in lines(tmp_path / "run" / "ranks.jsonl"):
        for mode in (0, 1):
            assert (line["step"], line["ranks"][mode]) in found[f"rank/{line['layer']}/mode_{mode}"]
        error = pytest.approx(line["truncation_error"], rel=1e-6)
        assert (line["step"], error) in found[f"truncation_error/{line['layer']}"]
        assert (line["step"], line["parameters"]) in found[f"parameters/{line['layer']}"]


def test_a_dense_run_has_no_ranks(train, small, tmp_path):
    assert train(*small, "--epochs", "1", "--dense", "--tensorboard", folder="run") == 0
    found = curves(tmp_path / "run")
    assert len(found["loss/batch"]) == BATCHES
    assert not [name for name in found if name.startswith("rank/")]


def test_a_resumed_run_draws_the_curves_of_the_uninterrupted_one(train, small, tmp_path, monkeypatch, capsys):
    train(*small, "--tensorboard", folder="a")
    assert train(*small, "--tensorboard", folder="b", stop_after=4) == 130
    assert "--resume b --tensorboard" in capsys.readouterr().err

    def killed(self):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:  # steps are written of which no checkpoint knows
        patch.setattr(TrainingRun, "save", killed)
        assert train("--resume", "b", "--tensorboard", stop_after=5) == 130
    assert train("--resume", "b", "--tensorboard") == 0
    assert curves(tmp_path / "b") == curves(tmp_path / "a")


def test_without_tensorboard_nothing_is_begun(train, small, tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    assert train(*small, "--tensorboard", folder="run") == 2
    err = capsys.readouterr().err
    assert err.startswith("rankfold: train: the package tensorboard cannot be imported")
    assert err.endswith("run pip install 'rankfold[tensorboard]'.\n")
    assert list(tmp_path.iterdir()) == []
    assert train(*small, "--epochs", "1", folder="run") == 0
