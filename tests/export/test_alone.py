"""The files run where this library is not: with PyTorch alone, and with onnxruntime alone."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import rankfold as rf
from rankfold.models import build_model

# The same lines run behind a wall in this environment, and in a fresh one without it.
WALL = """
import sys
class Wall:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked}:
            raise ImportError(name + " is walled off")
sys.meta_path.insert(0, Wall())
"""
ABSENT = """
for name in {blocked}:
    try:
        __import__(name)
    except ImportError:
        continue
    raise SystemExit(name + " is there")
"""
TORCH = """
import torch
program = torch.export.load("net.pt2").module()
inputs, expected = torch.load("example.pt", weights_only=True)
found = program(inputs)
assert found.shape == expected.shape
print(float((found - expected).abs().max()))
"""
ONNX = """
import numpy, onnxruntime
session = onnxruntime.InferenceSession("net.onnx")
example = numpy.load("example.npz")
found, = session.run(None, {"inputs": example["inputs"]})
assert found.shape == example["expected"].shape
print(float(abs(found - example["expected"]).max()))
"""


def written(folder: Path, format: str, name: str = "resnet20") -> float:
    """Write a file and an example into a folder, and say what difference is allowed."""
    model = build_model(name)
    rf.factorize(model, 0.5)
    inputs = torch.randn(5, *((3, 32, 32) if name == "resnet20" else (1, 28, 28)))
    with torch.no_grad():
        expected = rf.densify(model).eval()(inputs)
    if format == "torch":
        rf.export_program(model, inputs[:2], folder / "net.pt2")
        torch.save((inputs, expected), folder / "example.pt")
    else:
        pytest.importorskip("onnxruntime", reason="needs rankfold[onnx]")
        rf.export_onnx(model, inputs[:2], folder / "net.onnx")
        np.savez(folder / "example.npz", inputs=inputs.numpy(), expected=expected.numpy())
    return 300 * torch.finfo(torch.float32).eps * float(expected.abs().max())


def difference(python: str | Path, folder: Path, script: str) -> float:
    done = subprocess.run([python, "-I", "-c", script], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return float(done.stdout)


@pytest.mark.parametrize(
    ("format", "script", "blocked", "name"),
    [("torch", TORCH, ("rankfold",), "resnet20"), ("onnx", ONNX, ("rankfold", "torch", "onnx"), "mlp")],
    ids=["torch", "onnx"],
)
def test_behind_a_wall(tmp_path, format, script, blocked, name):
    allowed = written(tmp_path, format, name)
    wall = WALL.format(blocked=blocked) + ABSENT.format(blocked=blocked)
    assert difference(sys.executable, tmp_path, wall + script) <= allowed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("format", "script", "packages", "absent"),
    [
        ("torch", TORCH, ["torch"], ("rankfold", "numpy", "safetensors")),
        ("onnx", ONNX, ["onnxruntime", "numpy"], ("rankfold", "torch", "onnx")),
    ],
    ids=["torch", "onnx"],
)
def test_in_a_fresh_environment(tmp_path, format, script, packages, absent):
    allowed = written(tmp_path, format)
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], check=True)
    python = tmp_path / "venv" / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    constraints = Path(__file__).parents[2] / "constraints.txt"
    installed = subprocess.run(
        [python, "-m", "pip", "install", "--quiet", "-c", constraints, *packages],
        capture_output=True,
        text=True,
    )
    if installed.returncode:
        pytest.skip(
            f"pip cannot install {' '.join(packages)} here: {installed.stderr.strip().splitlines()[-1]}"
        )
    assert difference(python, tmp_path, ABSENT.format(blocked=absent) + script) <= allowed
