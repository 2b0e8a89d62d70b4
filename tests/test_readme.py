"""What the README shows is true."""

import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from rankfold.cli import main

ROOT = Path(__file__).parent.parent
FAMILY = "12^3 R12 orthogonal"
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_example_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names = {
        "MyNet": lambda: nn.Sequential(nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 4)),
        "loader": [(torch.randn(8, 20), torch.randint(0, 4, (8,))) for _ in range(12)],
    }
    exec(block, names)
    assert "2 of 2 layers factorised" in capsys.readouterr().out
    assert (tmp_path / "net.safetensors").exists()
    assert all(type(module).__module__.startswith("torch.") for module in names["plain"].modules())


def test_the_command_to_compress_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (command,) = re.findall(r"^rankfold (compress .*)$", README, re.MULTILINE)
    lines = (
        "from torch import nn",
        "def MyNet():",
        "    return nn.Sequential(nn.Linear(60, 50), nn.Linear(50, 40))",
    )
    Path("mymodule.py").write_text("\n".join(lines), encoding="utf-8")
    save_file(nn.Sequential(nn.Linear(60, 50), nn.Linear(50, 40)).state_dict(), "net.safetensors")
    np.save("inputs.npy", np.random.default_rng(0).standard_normal((30, 60)))
    try:
        assert main(command.split()) == 0
    finally:
        sys.modules.pop("mymodule", None)
    assert "parameters" in capsys.readouterr().out
    assert Path("net-compressed.onnx").exists()


@pytest.mark.parametrize("target", sorted(set(re.findall(r"\]\((?!http)([^)#]+)\)", README))))
def test_every_file_linked_exists(target):
    assert (ROOT / target).is_file()


@pytest.mark.parametrize(
    ("command", "network"),
    sorted(set(re.findall(r"python -m benchmarks\.(\w+)(?: --network (\w+))?", README))),
)
def test_every_benchmark_named_exists_and_left_its_result(command, network):
    assert (ROOT / "benchmarks" / f"{command}.py").exists()
    name = f"compress_{network}" if network else command
    record = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())
    assert record["command"].startswith(f"python -m benchmarks.{command}")


def result(name):
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())


def test_the_table_is_that_of_the_results():
    digits = result("digits_lenet")["summary"]
    mnist = max(result("mnist_lenet")["settings"], key=lambda one: one["mean_accuracy"])
    steps = {row["side"]: row["x_dense"] for row in result("step")["rows"] if row["network"] == "VGG f=1/4"}
    halves = {row["side"]: row for row in result("compress_resnet20")["rows"] if row["percent"] == 50}
    found = {row["side"]: row for row in result("decompose_success")["rows"] if row["family"] == FAMILY}
    for key, sentence in (("dense", "{mean_accuracy:.2f} % |"), ("tucker", "| {mean_accuracy:.2f} %, ")):
        assert sentence.format(**digits[key]) in README
    assert f"{mnist['mean_accuracy']:.2f} %, {mnist['mean_compression']:.1f} % fewer" in README
    assert (
        f"{steps['TensorLy-Torch fixed rank']:.2f} (TensorLy-Torch, ranks fixed) | {steps['TDLRT']:.2f},"
        in README
    )
    peer, ours, faster = (halves[side] for side in ("tensorly-torch cp", "rankfold", "rankfold, faster"))
    assert max(halves.values(), key=lambda row: row["accuracy"]) is peer
    text = "{:.1f} %, {:.2f} (TensorLy-Torch, CP) | {:.1f} %, {:.2f}; or {:.1f} %, {:.2f} with"
    figures = [
        value for row in (peer, ours, faster) for value in (100 * row["accuracy"], row["speedup_batch_128"])
    ]
    assert text.format(*figures) in README
    peers = {side: found[side]["success"] for side in ("TensorLy random", "TensorLy svd", "pyttb")}
    best = max(peers, key=lambda side: int(peers[side].partition("/")[0]))
    assert f"| {peers[best]} ({best}) | {found['auto']['success']} |" in README
