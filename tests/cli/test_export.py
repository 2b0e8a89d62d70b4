"""``rankfold export``."""

import re
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import rankfold as rf
from rankfold.cli import main
from rankfold.cli._input_shapes import example_inputs, read_input_shapes
from rankfold.cli._model_source import load_network
from rankfold.models import build_model

OWN = """
from torch import nn
def tokens():
    return nn.Sequential(nn.Embedding(20, 8), nn.Flatten(), nn.Linear(32, 5))
class Sum(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(6, 4)
    def forward(self, x, y):
        return self.layer(x) + y
class Nested:
    build = Sum
network = nn.Linear(6, 4)
number = 3
def needs(size): return nn.Linear(size, size)
def text(): return "text"
def fails(): raise ValueError("out of\\nluck")
def leaves(): raise SystemExit(3)
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A current folder with networks of the user's own, which the command finds as python -m would."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    (tmp_path / "own_networks.py").write_text(OWN)
    (tmp_path / "broken.py").write_text("import no_such_package")
    yield tmp_path
    for name in ("own_networks", "broken"):
        sys.modules.pop(name, None)


def export(*words):
    return main(["export", *map(str, words)])


def failure(capsys):
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    return err


def test_a_factorised_reference_network_to_onnx(folder, capsys):
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs rankfold[onnx]")
    model = build_model("lenet5")
    rf.factorize(model, 0.5)
    rf.save(model, folder / "net.safetensors")
    assert export("net.safetensors", "--model", "lenet5") == 0
    out = capsys.readouterr().out
    assert re.search(r"format +ONNX, opset [0-9]+\n", re.sub(" +\n", "\n", out))
    assert "float32 1x28x28" in out
    assert "any size" in out
    assert f"{(folder / 'net.onnx').stat().st_size:,} bytes" in out
    inputs = torch.randn(3, 1, 28, 28)
    found = onnxruntime.InferenceSession(folder / "net.onnx").run(None, {"inputs": inputs.numpy()})[0]
    expected = rf.densify(model).eval()(inputs).detach()
    scale = float(expected.abs().max())
    assert abs(found - expected.numpy()).max() <= 300 * torch.finfo(torch.float32).eps * scale


def test_plain_weights_and_another_input_shape_to_torch(folder, capsys):
    model = build_model("mlp", input_shape=(1, 8, 8))
    save_file(model.state_dict(), folder / "plain.safetensors")
    words = ("--format", "torch", "--output", "out.pt2", "--input-shape", "1x8x8")
    assert export("plain.safetensors", "--model", "mlp", *words) == 0
    inputs = torch.randn(5, 1, 8, 8)
    assert torch.equal(torch.export.load("out.pt2").module()(inputs), model.eval()(inputs))
    assert "program of torch.export" in capsys.readouterr().out
    assert export("plain.safetensors", "--model", "mlp", "--output", "out.pt2") == 2
    assert "layers.0.weight" in failure(capsys)


def test_own_networks(folder, capsys):
    model = load_network("own_networks:tokens")
    rf.factorize(model, 2)
    rf.save(model, "tokens.safetensors")
    words = ("--format", "torch", "--input-shape", "int64:4", "--fixed-batch", "3")
    assert export("tokens.safetensors", "--model", "own_networks:tokens", *words) == 0
    out = capsys.readouterr().out
    assert "int64 4" in out
    assert "3 rows" in out
    rf.save(load_network("own_networks:Sum"), "sum.safetensors")
    for name in ("Sum", "Nested.build"):
        words = ("--format", "torch", "--input-shape", "6", "float32:1")
        assert export("sum.safetensors", "--model", f"own_networks:{name}", *words) == 0
    assert "float32 6, float32 1" in capsys.readouterr().out


def test_load_network():
    assert isinstance(load_network("own_networks:network"), nn.Linear)
    assert load_network("own_networks:Sum") is not load_network("own_networks:Sum")
    model = build_model("mlp")
    rf.factorize(model, 7)
    rf.save(model, "net.safetensors")
    loaded = load_network("mlp", Path("net.safetensors"))
    assert loaded.state_dict().keys() == model.state_dict().keys()
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in model.state_dict().items())


def test_example_inputs():
    shapes = read_input_shapes("own:network", ["3x2", "int32:4", "bool:1"])
    first = example_inputs(shapes, nn.Linear(2, 2).double(), 5)
    assert [(tuple(x.shape), x.dtype) for x in first] == [
        ((5, 3, 2), torch.float64),
        ((5, 4), torch.int32),
        ((5, 1), torch.bool),
    ]
    assert set(first[1].flatten().tolist()) == {0, 1}
    assert all(
        torch.equal(a, b)
        for a, b in zip(first, example_inputs(shapes, nn.Linear(2, 2).double(), 5), strict=True)
    )


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            "resnet21",
            "known are alexnet, lenet5, mlp, resnet18, resnet20, vgg16; choose one of these, or write module",
        ),
        ("no_such:build", "importing no_such failed with ModuleNotFoundError: No module named 'no_such'"),
        (
            "broken:build",
            "importing broken failed with ModuleNotFoundError: No module named 'no_such_package'",
        ),
        ("own_networks:", "this is no module:callable"),
        (":build", "this is no module:callable"),
        ("a/b.py:build", "this is no module:callable"),
        ("own_networks:nothing", "has no nothing"),
        ("own_networks:number", "this is of type int"),
        ("own_networks:needs", "it needs arguments (missing a required argument: 'size')"),
        ("own_networks:text", "it gave an object of type str"),
        ("own_networks:fails", "it failed with ValueError: out of;"),
        ("own_networks:leaves", "it failed with SystemExit: 3;"),
        ("own_networks:tokens", "build the model that was saved"),
    ],
)
def test_models(folder, model, message, capsys):
    rf.save(nn.Linear(6, 4), "net.safetensors")
    assert export("net.safetensors", "--model", model, "--input-shape", "6", "--format", "torch") == 2
    assert message in failure(capsys)
    assert not (folder / "net.pt2").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--format", "tflite"], "known are onnx, torch"),
        (["--format", "torch", "--opset", "18"], "--opset is of onnx only"),
        (["--opset", "0"], "--opset is 0"),
        (["--fixed-batch", "0"], "--fixed-batch is 0"),
        (["--tolerance", "1"], "--tolerance is 1.0"),
        (["--output", "net.safetensors"], "is the file of the weights"),
        (["--output", "nowhere/net.onnx"], "is a folder or in none"),
        (["--output", "."], "is a folder or in none"),
        (["--input-shape", "3by3"], "--input-shape: got '3by3'"),
        (["--input-shape", "0x3"], "--input-shape: got '0x3'"),
        (["--input-shape", "string:3"], "--input-shape: got 'string:3'"),
        ([], "what one input looks like is not known"),
    ],
    ids=" ".join,
)
def test_settings(folder, words, message, capsys):
    rf.save(nn.Linear(6, 4), "net.safetensors")
    before = (folder / "net.safetensors").read_bytes()
    assert export("net.safetensors", "--model", "own_networks:network", *words) == 2
    assert message in failure(capsys)
    assert (folder / "net.safetensors").read_bytes() == before


def test_weights_that_cannot_be_read(folder, capsys):
    assert export("nowhere.safetensors", "--model", "lenet5") == 2
    assert "there is no such file" in failure(capsys)
    assert export(folder, "--model", "lenet5", "--output", "net.onnx") == 2
    assert "this is a folder" in failure(capsys)
    assert export(".", "--model", "lenet5") == 2
    assert "this is a folder" in failure(capsys)


def test_a_network_that_does_not_take_the_inputs(capsys):
    rf.save(nn.Linear(6, 4), "net.safetensors")
    words = ("--input-shape", "7", "--format", "torch")
    assert export("net.safetensors", "--model", "own_networks:network", *words) == 2
    assert "the model fails on example_inputs" in failure(capsys)
