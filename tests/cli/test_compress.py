"""``rankfold compress`` end to end."""

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file

import rankfold as rf
from rankfold.cli import main
from rankfold.cli._compress_batches import FineTuningEpoch, flip_and_shift
from rankfold.cli._compress_normalize import normalized
from rankfold.data import batches, load_dataset
from rankfold.models import build_model
from rankfold.training import evaluate

OWN = """
from torch import nn
def tokens():
    return nn.Sequential(nn.Embedding(20, 8), nn.Flatten(), nn.Linear(32, 12), nn.ReLU(), nn.Linear(12, 5))
def two():
    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(16, 14)
        def forward(self, x, y):
            return self.layer(x) + y
    return Sum()
def picture():
    return nn.Conv2d(1, 3, 3)
def one_row():
    class One(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Linear(16, 14)
        def forward(self, x):
            return self.layer(x) if len(x) == 4 else self.layer(x) + 1
    return One()
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A small network that knows the digits."""
    file = tmp_path_factory.mktemp("weights") / "net.safetensors"
    data = load_dataset("digits")
    torch.manual_seed(0)
    model = build_model("lenet5")
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-3)
    for epoch in range(2):
        generator = torch.Generator().manual_seed(epoch)
        for x, y in batches(data.train_inputs, data.train_targets, 32, generator=generator):
            optimizer.zero_grad()
            F.cross_entropy(model(x), y).backward()
            optimizer.step()
    save_file(model.state_dict(), file)
    return file


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A current folder with networks of the user's own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    (tmp_path / "own_layers.py").write_text(OWN)
    yield tmp_path
    sys.modules.pop("own_layers", None)


def compress(*words):
    return main(["compress", *map(str, words), "--threads", "1", "--latency-batch", "4"])


def record_of(name="small"):
    return json.loads(Path(f"{name}.compression.json").read_text())


def failure(capsys):
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert err.startswith("rankfold: ")
    return err


def save_own(name, file="own.safetensors"):
    from rankfold.cli._model_source import load_network

    torch.manual_seed(1)
    model = load_network(f"own_layers:{name}")
    rf.save(model, file)
    return model


def test_digits_before_and_after(trained, folder, capsys):
    words = ("--policy", "budget", "params=0.2", "--calibrate", "digits", "--calibration-samples", "200")
    assert compress(trained, "--model", "lenet5", *words, "--output", "small.safetensors") == 0
    out = capsys.readouterr().out
    record = record_of()
    data = load_dataset("digits")
    model = build_model("lenet5")
    rf.load(model, "small.safetensors")
    folded = rf.fold(model)
    for side, network in (("before", build_model("lenet5")), ("after", folded)):
        if side == "before":
            network.load_state_dict(load_file(trained))
        assert record[side]["accuracy"] == evaluate(network, data.test_inputs, data.test_targets)[1]
        assert record[side]["parameters"] == sum(parameter.numel() for parameter in network.parameters())
        assert f"{record[side]['accuracy']:.2%}" in out
        assert f"{record[side]['parameters']:,}" in out
    assert record["before"]["accuracy"] > 0.8
    assert record["after"]["accuracy"] > record["before"]["accuracy"] - 0.1
    assert record["after"]["parameters"] <= 0.2 * record["before"]["parameters"]
    # 20 maps of 24 x 24 from windows of 25, 50 of 8 x 8 from windows of 500, two linear layers.
    assert record["before"]["flops"] == 2 * (20 * 576 * 25 + 50 * 64 * 500 + 400_000 + 5000)
    assert record["before"]["bytes"] == trained.stat().st_size
    assert record["after"]["bytes"] == Path("small.safetensors").stat().st_size
    assert (record["samples"], record["place"]) == (200, "1 thread")
    assert sorted(path.name for path in folder.iterdir() if "small" in path.name) == [
        "small.compression.html",
        "small.compression.json",
        "small.safetensors",
    ]


def test_the_command_of_the_record_gives_the_same_network(trained, capsys):
    words = ("--policy", "energy=0.8", "--calibrate", "digits", "--calibration-samples", "50", "--seed", "3")
    words += ("--finetune-epochs", "1", "--learning-rate", "0.005", "--distillation", "0.5")
    assert compress(trained, "--model", "lenet5", *words, "--output", "small.safetensors") == 0
    first = load_file("small.safetensors")
    command = shlex.split(record_of()["command"])
    assert command[0] == "rankfold"
    assert main(command[1:]) == 2
    assert "small.safetensors exists" in failure(capsys)
    assert main([*command[1:], "--overwrite"]) == 0
    second = load_file("small.safetensors")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_fine_tuning_raises_the_accuracy(trained, capsys):
    words = ("--model", "lenet5", "--policy", "budget params=0.05", "--calibrate", "digits")
    words += ("--calibration-samples", "0")
    assert compress(trained, *words, "--output", "small.safetensors") == 0
    tuning = ("--finetune-epochs", "2", "--batch-size", "20")
    assert compress(trained, *words, *tuning, "--output", "tuned.safetensors") == 0
    assert "2 epochs, learning rate 0.01" in capsys.readouterr().out
    assert record_of("tuned")["after"]["accuracy"] > record_of()["after"]["accuracy"] + 0.15


def test_weights_alone_and_an_exported_network(trained, capsys):
    onnxruntime = pytest.importorskip("onnxruntime", reason="needs rankfold[onnx]")
    words = ("--model", "lenet5", "--policy", "tolerance=0.3", "--output", "small.safetensors")
    assert compress(trained, *words, "--export", "onnx") == 0
    out = capsys.readouterr().out
    assert "none, errors are those of the weights" in out
    assert "accuracy" not in out
    assert "exported network: small.onnx" in out
    record = record_of()
    for layer in record["layers"]:
        if layer["reason"] is None:
            assert layer["error"] <= 0.3
    model = build_model("lenet5")
    rf.load(model, "small.safetensors")
    inputs = torch.randn(3, 1, 28, 28)
    found = onnxruntime.InferenceSession("small.onnx").run(None, {"inputs": inputs.numpy()})[0]
    expected = rf.densify(model).eval()(inputs).detach()
    allowed = 300 * torch.finfo(torch.float32).eps * float(expected.abs().max())
    assert abs(found - expected.numpy()).max() <= allowed
    assert record["export"]["size_bytes"] == Path("small.onnx").stat().st_size


def test_a_file_of_inputs(capsys):
    model = save_own("tokens")
    np.savez("tokens.npz", ids=np.random.RandomState(0).randint(0, 20, (50, 4)), other=np.zeros((3, 3)))
    words = ("--model", "own_layers:tokens", "--policy", "fixed=3", "--calibrate", "tokens.npz")
    assert compress("own.safetensors", *words) == 2
    assert "holds ids, other" in failure(capsys)
    assert compress("own.safetensors", *words, "--key", "ids", "--batch-size", "7") == 0
    record = record_of("own-compressed")
    assert record["samples"] == 50
    assert record["before"]["accuracy"] is None
    rf.load(model, "own-compressed.safetensors")
    assert model[2].ranks == (3, 3)
    assert "accuracy" not in capsys.readouterr().out


def test_two_inputs_without_data(capsys):
    save_own("two")
    words = ("--model", "own_layers:two", "--policy", "fraction=0.25", "--input-shape", "16", "1")
    assert compress("own.safetensors", *words, "--export", "torch") == 0
    inputs = torch.randn(3, 16), torch.randn(3, 1)
    assert torch.export.load("own-compressed.pt2").module()(*inputs).shape == (3, 14)


def test_what_is_factorised_already_is_approximated_anew(folder):
    torch.manual_seed(0)
    model = build_model("mlp", input_shape=(1, 8, 8))
    rf.factorize(model, 9)
    rf.save(model, "low.safetensors")
    words = ("--model", "mlp", "--input-shape", "1x8x8", "--policy", "energy=0.9999999")
    assert compress("low.safetensors", *words) == 0
    record = record_of("low-compressed")
    assert [layer["ranks"] for layer in record["layers"]] == [[9, 9]] * 3
    assert record["before"]["parameters"] == 64 * 500 + 500 * 500 + 500 * 10 + 1010


def test_a_network_that_cannot_be_exported_is_not_lost(capsys):
    save_own("one_row")
    words = (
        "--model",
        "own_layers:one_row",
        "--policy",
        "fixed=2",
        "--input-shape",
        "16",
        "--export",
        "torch",
    )
    assert compress("own.safetensors", *words) == 2
    captured = capsys.readouterr()
    assert captured.err.endswith("the factorised network is in own-compressed.safetensors.\n")
    assert captured.err.count("\n") == 1
    assert "exported network" not in captured.out
    assert record_of("own-compressed")["export"] is None
    assert not Path("own-compressed.pt2").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--policy", "magic=3"], "rank policy: got 'magic', known are budget"),
        (["--policy", "energy=2"], "share"),
        (["--policy", "budget", "params=x"], "must be a number"),
        (["--policy", "budget params=0.001"], "Budget: params"),
        (
            ["--calibrate", "imagenet"],
            "known are the data sets digits, mnist, fashion_mnist, cifar10 and files",
        ),
        (["--calibrate", "nowhere.npy"], "there is no such file"),
        (["--calibrate", "wrong.npy"], "lenet5 takes inputs of"),
        (
            ["--calibrate", "short.npy", "--input-shape", "1x28x28"],
            "samples in short.npy have the shape 1x28x27",
        ),
        (["--calibrate", "sparse.tns"], "files whose names end in .npy, .npz"),
        (["--calibrate", "nan.npy"], "NaN"),
        (["--calibrate", "cifar10"], "inputs of"),
        (["--calibrate", "digits", "--data-dir", "nowhere"], "nowhere is not a folder"),
        (["--calibrate", "digits", "--normalize", "imagenet"], "constants for 3 channels, digits has 1"),
        (["--calibrate", "digits", "--normalize", "mine"], "known are dataset, imagenet, unit"),
        (["--calibrate", "digits", "--normalize", "1/0"], "as many means as deviations over 0"),
        (["--calibrate", "digits", "--key", "x"], "--key is for a calibration file"),
        (["--calibrate", "nan.npy", "--calibration-samples", "0"], "leaves a file without use"),
        (["--finetune-epochs", "1"], "--finetune-epochs is for a data set"),
        (["--normalize", "unit"], "--normalize is for a data set"),
        (["--distillation", "0.5"], "--distillation is of the fine-tuning"),
        (["--finetune-epochs", "-1"], "--finetune-epochs is -1"),
        (["--calibration-samples", "-1"], "--calibration-samples is -1"),
        (["--learning-rate", "0"], "--learning-rate is 0"),
        (["--distillation", "2"], "--distillation is 2"),
        (["--batch-size", "0"], "--batch-size is 0"),
        (["--seed", "-1"], "--seed is -1"),
        (["--device", "tpu"], "known are cpu, cuda, auto"),
        (["--export", "tflite"], "known are onnx, torch"),
        (["--output", "net.onnx"], "ends in .safetensors"),
        (["--output", "nowhere/net.safetensors"], "is in no folder"),
        (["--output", "net.safetensors"], "is the file of the weights"),
        (["--model", "alexnet"], "net.safetensors"),
        (["--model", "lenet"], "known are alexnet, lenet5"),
        (["--input-shape", "1x9x9"], "lenet5 takes inputs of"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_failures(trained, folder, words, message, capsys):
    (folder / "net.safetensors").write_bytes(trained.read_bytes())
    np.save("wrong.npy", np.zeros((5, 1, 9, 9)))
    np.save("short.npy", np.zeros((5, 1, 28, 27)))
    np.save("nan.npy", np.full((5, 1, 28, 28), np.nan))
    Path("sparse.tns").write_text("1 1 1.0\n")
    before = sorted(folder.iterdir())
    model = [] if "--model" in words else ["--model", "lenet5"]
    assert compress("net.safetensors", *model, *words) == 2
    assert message in failure(capsys)
    assert [path for path in sorted(folder.iterdir()) if path.name != "__pycache__"] == before
    assert (folder / "net.safetensors").read_bytes() == trained.read_bytes()


def test_weights_that_cannot_be_read(folder, capsys):
    assert compress("nowhere.safetensors", "--model", "lenet5") == 2
    assert "there is no such file" in failure(capsys)
    Path("damaged.safetensors").write_bytes(b"garbage " * 100)
    assert compress("damaged.safetensors", "--model", "lenet5") == 2
    assert "the file is damaged" in failure(capsys)


def test_a_network_without_logits_is_not_tested(capsys):
    save_own("picture")
    assert compress("own.safetensors", "--model", "own_layers:picture", "--calibrate", "digits") == 2
    assert "the network gives 4x3x26x26, where the data set asks for logits of 10 classes" in failure(capsys)


def test_a_loss_that_is_no_number(trained, folder, capsys):
    words = (
        "--model",
        "lenet5",
        "--calibrate",
        "digits",
        "--finetune-epochs",
        "1",
        "--learning-rate",
        "1e30",
    )
    assert compress(trained, *words, "--output", "small.safetensors") == 2
    failure(capsys)
    assert [path.name for path in folder.iterdir() if "small" in path.name] == []


def test_an_interruption_writes_nothing(trained, folder, monkeypatch, capsys):
    from rankfold.cli import _compress_network

    def interrupted(*positional, **named):
        raise KeyboardInterrupt

    monkeypatch.setattr(_compress_network, "time_networks", interrupted)
    assert compress(trained, "--model", "lenet5", "--output", "small.safetensors") == 130
    assert capsys.readouterr().err == "rankfold: interrupted; nothing was written.\n"
    assert [path.name for path in folder.iterdir() if "small" in path.name] == []


def test_a_signal_to_end_removes_temporary_files(tmp_path):
    """In a process of its own, as the shell runs it."""
    code = (
        "import os, signal, sys; import rankfold.cli._compress_files as files; from rankfold.cli import main\n"
        "files.rankfold.save = lambda *given: os.kill(os.getpid(), signal.SIGTERM)\n"
        "sys.exit(main())"
    )
    model = build_model("mlp", input_shape=(1, 8, 8))
    rf.save(model, tmp_path / "net.safetensors")
    words = ["compress", "net.safetensors", "--model", "mlp", "--input-shape", "1x8x8", "--policy", "fixed=2"]
    process = subprocess.run(
        [sys.executable, "-c", code, *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        check=False,
    )
    assert (process.returncode, process.stderr) == (143, "rankfold: interrupted.\n")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["net.safetensors", "own_layers.py"]


def test_batches_depend_on_seed_and_epoch_only():
    data, cpu = load_dataset("digits"), torch.device("cpu")

    def first(seed, epoch):
        return next(iter(FineTuningEpoch(data, 16, seed, epoch, cpu)))[0]

    assert torch.equal(first(0, 1), first(0, 1))
    assert not torch.equal(first(0, 1), first(0, 2))
    assert not torch.equal(first(0, 1), first(1, 1))
    parts = list(FineTuningEpoch(data, 100, 0, 0, cpu))
    assert len(parts) == len(FineTuningEpoch(data, 100, 0, 0, cpu)) == 15
    assert sum(len(targets) for _, targets in parts) == len(data.train_targets)


def test_flips_and_shifts_are_those_of_the_images():
    images = torch.arange(1, 1 + 60 * 2 * 6 * 5, dtype=torch.float32).reshape(60, 2, 6, 5)
    moved = flip_and_shift(images, torch.Generator().manual_seed(0))
    seen = set()
    for before, after in zip(images, moved, strict=True):
        padded = F.pad(before, (4, 4, 4, 4))
        found = [
            (flip, row, column)
            for flip in (False, True)
            for row in range(9)
            for column in range(9)
            if torch.equal(
                after,
                (lambda part, flip: part.flip(2) if flip else part)(
                    padded[:, row : row + 6, column : column + 5], flip
                ),
            )
        ]
        assert len(found) == 1
        seen |= set(found)
    assert {flip for flip, _, _ in seen} == {False, True}
    assert {row for _, row, _ in seen} == {column for _, _, column in seen} == set(range(9))


def test_pixels_as_they_are():
    data = normalized(load_dataset("digits"), "unit")
    assert float(data.test_inputs.min()) == pytest.approx(0, abs=1e-6)
    assert float(data.test_inputs.max()) == pytest.approx(1, abs=1e-6)


def test_no_escape_codes_in_a_file(trained, capsys):
    assert compress(trained, "--model", "lenet5", "--output", "small.safetensors", "--policy", "fixed=4") == 0
    captured = capsys.readouterr()
    assert "\x1b" not in captured.out
    assert captured.err == ""
    assert re.search(r"layers +[0-9] of 4 compressed", captured.out)
