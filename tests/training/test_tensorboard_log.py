"""Curves for TensorBoard, read back from its files."""

import copy
import sys

import pytest
import torch
from torch import nn

import rankfold as rf
from rankfold.training import TensorBoardLog

event_accumulator = pytest.importorskip(
    "tensorboard.backend.event_processing.event_accumulator", reason="tensorboard is not installed"
)


def curves(folder):
    """All scalars in a folder: name to pairs of step and value."""
    found = event_accumulator.EventAccumulator(str(folder)).Reload()
    return {
        name: [(event.step, event.value) for event in found.Scalars(name)] for name in found.Tags()["scalars"]
    }


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 16, 4))
    rf.factorize(model, rank=3)
    return model


def train(model, on_truncation, steps=5):
    optimizer = rf.TDLRT(
        model, torch.optim.SGD, lr=0.1, momentum=0.9, core_steps=2, on_truncation=on_truncation
    )
    go_on(model, optimizer, steps)
    return optimizer


def go_on(model, optimizer, steps):
    for _ in range(steps):
        optimizer.zero_grad()
        model(torch.ones(4, 3, 6, 6)).square().mean().backward()
        optimizer.step()


def test_every_truncation_is_there(model, tmp_path):
    records = []
    with TensorBoardLog(tmp_path / "log") as log:
        train(model, lambda record: (records.append(record), log(record)), steps=9)
    found, wanted = curves(tmp_path / "log"), {}
    for record in records:
        for mode in record.modes:
            wanted.setdefault(f"rank/{record.layer}/mode_{mode}", []).append(
                (record.step, record.ranks[mode])
            )
        error, size = pytest.approx(record.truncation_error, rel=1e-6), record.parameters
        wanted.setdefault(f"truncation_error/{record.layer}", []).append((record.step, error))
        wanted.setdefault(f"parameters/{record.layer}", []).append((record.step, size))
    assert found == wanted
    assert sorted(found)[:4] == ["parameters/0", "parameters/3", "rank/0/mode_0", "rank/0/mode_1"]
    assert [step for step, _ in found["rank/3/mode_0"]] == [3, 6, 9]
    for name, layer in (("0", model[0]), ("3", model[3])):
        assert found[f"parameters/{name}"][-1][1] == sum(p.numel() for p in layer.parameters())


def test_a_writer_that_is_open_already_stays_open(model, tmp_path):
    tensorboard = pytest.importorskip("torch.utils.tensorboard")
    with tensorboard.SummaryWriter(str(tmp_path)) as writer:
        with TensorBoardLog(writer) as log:
            train(model, log, steps=3)
        assert log.writer is writer
        writer.add_scalar("loss", 0.5, 3)
    found = curves(tmp_path)
    assert found["loss"] == [(3, 0.5)]
    assert [step for step, _ in found["rank/0/mode_0"]] == [3]


def test_steps_that_come_again_are_shown_once(model, tmp_path):
    with TensorBoardLog(tmp_path) as log:
        train(model, log, steps=6)
    with TensorBoardLog(tmp_path, purge_step=4) as log:
        log(rf.RankRecord(**record(step=6)))
    assert [step for step, _ in curves(tmp_path)["rank/0/mode_0"]] == [3, 6]
    assert curves(tmp_path)["rank/0/mode_0"][-1] == (6, 2)


def record(**changes):
    usual = {
        "step": 1,
        "layer": "0",
        "ranks_before": (3, 3),
        "ranks": (2, 1),
        "modes": (0, 1),
        "parameters": 40,
        "truncation_error": 0.1,
        "orthonormality_defect": 0.0,
        "rank_capped": False,
    }
    return {**usual, **changes}


@pytest.mark.parametrize("name", ["", "<script>", "a b/c", "模型.层"])
def test_any_name_of_a_layer(name, tmp_path):
    with TensorBoardLog(tmp_path) as log:
        log(rf.RankRecord(**record(layer=name)))
    assert len(curves(tmp_path)) == 4


def test_a_copied_optimizer_writes_on(model, tmp_path):
    with TensorBoardLog(tmp_path) as log:
        twin = copy.deepcopy(train(model, log, steps=3))
        go_on(twin.model, twin, 3)
    assert [step for step, _ in curves(tmp_path)["rank/0/mode_0"]] == [3, 6]


def test_what_is_neither_folder_nor_writer():
    with pytest.raises(rf.OptionError, match="got int; pass a folder or a SummaryWriter"):
        TensorBoardLog(3)


def test_without_tensorboard(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(rf.OptionError, match=r"run pip install 'rankfold\[tensorboard\]'\.$"):
        TensorBoardLog(tmp_path / "log")
    assert list(tmp_path.iterdir()) == []
