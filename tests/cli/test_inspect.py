"""``rankfold inspect``."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from rankfold.cli import main


@pytest.fixture
def run(train, small, tmp_path, capsys):
    train(*small, folder="run")
    capsys.readouterr()
    return tmp_path / "run"


def test_a_run(run, capsys):
    assert main(["inspect", str(run)]) == 0
    out = capsys.readouterr().out
    history = [json.loads(line) for line in (run / "ranks.jsonl").read_text().splitlines()]
    of_layer = [line for line in history if line["layer"] == "layers.0"]
    first, last = (
        "x".join(map(str, ranks)) for ranks in (of_layer[0]["ranks_before"], of_layer[-1]["ranks"])
    )
    assert [
        part for part in ("Settings", "Last epoch", "Ranks", "Factorised layers") if part not in out
    ] == []
    assert any(line.split()[:3] == ["layers.0", first, last] for line in out.splitlines())
    assert "392,000" in out


def test_a_run_before_its_first_epoch_is_complete(train, small, capsys):
    train(*small, folder="run", stop_after=1)
    capsys.readouterr()
    assert main(["inspect", "run"]) == 0
    assert "No epoch is complete yet." in capsys.readouterr().out


def test_a_dense_run(train, small, capsys):
    train(*small, "--dense", folder="run")
    capsys.readouterr()
    assert main(["inspect", "run"]) == 0
    assert "Factorised layers" not in capsys.readouterr().out


def test_a_model_and_a_checkpoint(run, capsys):
    for name, kind in (
        ("model", "model with factorised layers"),
        ("checkpoint", "checkpoint of a training run"),
    ):
        assert main(["inspect", str(run / f"{name}.safetensors")]) == 0
        out = capsys.readouterr().out
        assert kind in out
        assert "500x784" in out
    metrics = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    main(["inspect", str(run / "model.safetensors")])
    assert f"{metrics['parameters']:,}" in capsys.readouterr().out


def test_a_plain_file(tmp_path, capsys):
    save_file({"weight": torch.zeros(30, 40), "scale": torch.zeros(())}, tmp_path / "plain.safetensors")
    assert main(["inspect", str(tmp_path / "plain.safetensors")]) == 0
    out = capsys.readouterr().out
    assert "plain tensors" in out
    assert "1,201" in out
    assert any(line.split() == ["weight", "30x40", "F32"] for line in out.splitlines())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no such file"),
        (b"", "the file is damaged"),
        (b"garbage " * 100, "the file is damaged"),
    ],
)
def test_garbage(tmp_path, content, message, capsys):
    file = tmp_path / "file.safetensors"
    if content is not None:
        file.write_bytes(content)
    assert main(["inspect", str(file)]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1


def test_a_folder_without_a_run(tmp_path, capsys):
    assert main(["inspect", str(tmp_path)]) == 2
    assert "there is no run here" in capsys.readouterr().err


def test_damaged_ranks(run, capsys):
    (run / "ranks.jsonl").write_text('{"layer": "layers.0"}\n')
    assert main(["inspect", str(run)]) == 2
    assert "ranks.jsonl: a line lacks 'ranks_before'" in capsys.readouterr().err


def test_a_decomposition_has_a_page_instead(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    np.save("cube.npy", np.random.default_rng(0).standard_normal((4, 5, 6)))
    assert main(["decompose", "cube.npy", "--rank", "1", "--out", "found"]) == 0
    capsys.readouterr()
    assert main(["inspect", "found"]) == 2
    assert "found: holds a decomposition" in capsys.readouterr().err
