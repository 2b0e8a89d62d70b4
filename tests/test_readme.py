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
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_example_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    block, _, _ = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names = {
        "MyNet": lambda: nn.Sequential(nn.Linear(20, 16), nn.ReLU(), nn.Linear(16, 4)),
        "loader": [(torch.randn(8, 20), torch.randint(0, 4, (8,))) for _ in range(12)],
    }
    exec(block, names)
    assert "2 of 2 layers factorised" in capsys.readouterr().out
    assert (tmp_path / "net.safetensors").exists()
    assert all(type(module).__module__.startswith("torch.") for module in names["plain"].modules())


def test_a_trained_network_gets_smaller(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    _, block, _ = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    x = torch.randn(8, 60)
    names = {
        "MyNet": lambda: nn.Sequential(nn.Linear(60, 50), nn.ReLU(), nn.Linear(50, 40)),
        "batches": [x, torch.randn(8, 60)],
        "x": x,
    }
    exec(block, names)
    assert names["compression"].share <= 0.2
    assert "layers compressed" in capsys.readouterr().out
    assert all(type(module).__module__.startswith("torch.") for module in names["model"].modules())
    assert (tmp_path / "small.onnx").exists()


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


def test_the_decomposition_says_what_its_comments_say():
    _, _, block = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    names = {}
    exec(block, names)
    assert names["parts"].rank == names["same"].rank == 3
    assert names["parts"].agreement.agreeing == 2
    assert names["rf"].factor_match_score(names["parts"].tensor, names["same"].tensor) > 0.99


@pytest.mark.parametrize(
    ("command", "network"),
    sorted(set(re.findall(r"python -m benchmarks\.(\w+)(?: --network (\w+))?", README))),
)
def test_every_benchmark_named_exists_and_left_its_result(command, network):
    assert (ROOT / "benchmarks" / f"{command}.py").exists()
    name = f"compress_{network}" if network else command
    record = json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())
    assert record["command"].startswith(f"python -m benchmarks.{command}")


def test_the_figures_of_the_table_are_those_of_the_results():
    def result(name):
        return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text())

    for setting in result("mnist_lenet")["settings"]:
        assert f"{setting['mean_compression']:.1f} % | {setting['mean_accuracy']:.2f} %" in README
    for row in result("digits_lenet")["summary"].values():
        assert f"{row['mean_accuracy']:.2f} %" in README
    for row in result("mnist_decay")["rows"]:
        if row["decay"] == 10 and row["method"] != "fixed":
            assert f"{row['mean_accuracies'][3]:.1f} %" in README


def test_the_table_of_steps_is_that_of_the_result():
    record = json.loads((ROOT / "benchmarks" / "results" / "step.json").read_text())
    rows = {(row["network"], row["side"]): row["x_dense"] for row in record["rows"]}
    sides = {
        "TDLRT, exact adaptive step": "TDLRT",
        'TDLRT, `integrator="parallel"`': "TDLRT single gradient",
        "TDLRT, `basis_every=10`": "TDLRT every 10th step",
        "our layers at fixed ranks, plain SGD": "fixed rank",
        "TensorLy-Torch at fixed ranks": "TensorLy-Torch fixed rank",
        "the published adaptive step, our writing of it": "published step",
    }
    for label, side in sides.items():
        found = [rows.get((f"VGG f={share}", side)) for share in ("1/8", "1/4", "1/2")]
        cells = ["-" if value is None else f"{value:.2f}" for value in found]
        assert f"| {label} | {' | '.join(cells)} |" in README
    assert f"exact step takes {rows['MLP r=32', 'TDLRT']:.2f} of the dense step" in README


def test_the_table_of_families_is_that_of_the_result():
    record = json.loads((ROOT / "benchmarks" / "results" / "decompose_success.json").read_text())
    found = {(row["family"], row["side"]): row["success"] for row in record["rows"]}
    sides = ("TensorLy random", "TensorLy svd", "pyttb", "als", "auto")
    families = re.findall(r"^\| (\d+\^\d R\d+[^|]*) \|", README, re.MULTILINE)
    assert len(families) >= 11
    for family in families:
        assert f"| {family} | {' | '.join(found[family, side] for side in sides)} |" in README


def test_the_table_of_compressed_networks_is_that_of_the_result():
    record = json.loads((ROOT / "benchmarks" / "results" / "compress_resnet20.json").read_text())
    found = {(row["side"], row["percent"]): row for row in record["rows"]}
    sides = {
        "SVD by hand, the same share of each layer": "svd",
        "Tucker by hand, the same share": "tucker",
        "a budget by the energy of the outputs": "whitened",
        "TensorLy-Torch `from_conv`, Tucker": "tensorly-torch tucker",
        "TensorLy-Torch `from_conv`, CP": "tensorly-torch cp",
        "`compress`, no calibration": "rankfold, weights alone",
        "`compress`": "rankfold",
        "`compress`, `faster=True`": "rankfold, faster",
    }
    for label, side in sides.items():
        cells = []
        for percent in (70, 50, 30):
            row = found[side, percent]
            speeds = f"{row['speedup_batch_1']:.2f}, {row['speedup_batch_128']:.2f}"
            cells.append(f"{100 * row['accuracy']:.1f} % ({speeds})")
        assert f"| {label} | {' | '.join(cells)} |" in README
