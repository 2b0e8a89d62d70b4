"""``rankfold inspect --model`` and ``rankfold inspect`` of what ``rankfold compress`` writes."""

import json
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import rankfold as rf
from rankfold.cli import main
from rankfold.models import build_model

OWN = """
import torch
from torch import nn
def tokens():
    return nn.Sequential(nn.Embedding(20, 8), nn.Flatten(), nn.Linear(32, 5))
def attention():
    return nn.TransformerEncoderLayer(16, 2, 24, batch_first=True)
def unused():
    network = nn.Sequential(nn.Linear(6, 4))
    network[0].spare = nn.Linear(7, 3)
    return network
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    (tmp_path / "own_inspected.py").write_text(OWN)
    yield tmp_path
    sys.modules.pop("own_inspected", None)


def inspect(*words):
    return main(["inspect", *map(str, words), "--threads", "1", "--latency-batch", "4"])


def rows(out, name):
    """Cells of the rows that begin with a name, table by table."""
    return [line.split()[1:] for line in out.splitlines() if line.split()[:1] == [name]]


def failure(capsys):
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    return err


def test_a_dense_network(capsys):
    model = build_model("lenet5")
    save_file(model.state_dict(), "net.safetensors")
    assert inspect("net.safetensors", "--model", "lenet5") == 0
    out = capsys.readouterr().out
    output, inputs, costs = rows(out, "conv2")
    assert output[:3] == ["Conv2d", "50x20x5x5", "output"]
    assert inputs[2] == "input"
    assert (output[-1], inputs[-1]) == ("50", "20")
    assert costs[:3] == ["25,050", "3.200", "M"]  # 2 x 50 x 20 x 25 x 64 positions
    spectrum, costs = rows(out, "linear2")
    values = torch.linalg.svdvals(model.linear2.weight.detach().double()).square()
    assert spectrum[3:6] == [f"{values[:count].sum() / values.sum():.1%}" for count in (3, 5, 8)]
    assert spectrum[6] == f"{values.sum() / values[0]:.1f}"
    assert rows(out, "parameters") == [["431,080"]]
    assert "folded" not in out
    assert "4 samples, 1 thread" in out


def test_a_factorised_network(capsys):
    model = build_model("mlp", input_shape=(1, 8, 8))
    rf.factorize(model, 5)
    rf.save(model, "net.safetensors")
    assert inspect("net.safetensors", "--model", "mlp", "--input-shape", "1x8x8") == 0
    out = capsys.readouterr().out
    spectrum, costs = rows(out, "layers.1")
    assert spectrum[-2:] == ["5", "500"]
    assert spectrum[3:6] == ["100.0%"] * 3
    assert costs[:7] == ["5x5", "250,500", "5,500", "500.0", "k", "10.00", "k"]
    folded = sum(parameter.numel() for parameter in rf.fold(model).parameters())
    dense = sum(parameter.numel() for parameter in rf.densify(model).parameters())
    assert rows(out, "parameters")[-1] == [f"{dense:,}", f"{folded:,}"]


def test_what_a_policy_would_do(capsys):
    model = build_model("mlp", input_shape=(1, 8, 8))
    rf.save(model, "net.safetensors")
    before = Path("net.safetensors").read_bytes()
    words = ("--model", "mlp", "--input-shape", "1x8x8", "--policy", "budget", "flops=0.5")
    assert inspect("net.safetensors", *words) == 0
    out = capsys.readouterr().out
    assert "ranks by budget flops=0.5" in out
    cells = [float(cell) for cell in rows(out, "FLOPs")[-1] if cell[0].isdigit()]
    assert cells[0] == 2 * (64 * 500 + 500 * 500 + 500 * 10) / 1000
    assert 0.45 * cells[0] < cells[1] <= 0.5 * cells[0]
    assert Path("net.safetensors").read_bytes() == before


def test_own_networks(capsys):
    torch.manual_seed(0)
    rf.save(nn.Sequential(nn.Embedding(20, 8), nn.Flatten(), nn.Linear(32, 5)), "tokens.safetensors")
    words = ("--model", "own_inspected:tokens", "--input-shape", "int64:4")
    assert inspect("tokens.safetensors", *words) == 0
    spectrum, _ = rows(capsys.readouterr().out, "0")
    assert spectrum[:3] == ["Embedding", "20x8", "both"]
    layer = nn.TransformerEncoderLayer(16, 2, 24, batch_first=True)
    rf.save(layer, "attention.safetensors")
    words = ("--model", "own_inspected:attention", "--input-shape", "3x16", "--policy", "fixed=2")
    assert inspect("attention.safetensors", *words) == 0
    assert rows(capsys.readouterr().out, "self_attn.q_proj")[-1][0] == "2x2"


def test_a_layer_that_is_never_called(capsys):
    network = nn.Sequential(nn.Linear(6, 4))
    network[0].spare = nn.Linear(7, 3)
    rf.save(network, "net.safetensors")
    words = ("--model", "own_inspected:unused", "--input-shape", "6")
    assert inspect("net.safetensors", *words) == 0
    assert rows(capsys.readouterr().out, "0.spare")[-1] == ["24", "-", "-"]


def test_the_record_of_a_compression(capsys):
    rf.save(build_model("lenet5"), "net.safetensors")
    words = ["--policy", "fixed=3", "--calibrate", "digits", "--calibration-samples", "20"]
    assert main(["compress", "net.safetensors", "--model", "lenet5", *words, "--latency-batch", "2"]) == 0
    printed = capsys.readouterr().out
    assert main(["inspect", "net-compressed.compression.json"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("rankfold compress net.safetensors --model lenet5 --policy fixed=3")
    assert printed.startswith(shown.partition("\n")[2])
    assert "accuracy on 360 test samples" in shown


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not readable as JSON"),
        ("[" * 100_000, "not readable as JSON"),
        ("[]", "this is no record of a compression"),
        ('{"kind": "rankfold compression"}', "the record is damaged"),
    ],
)
def test_damaged_records(content, message, capsys):
    Path("net.compression.json").write_text(content)
    assert main(["inspect", "net.compression.json"]) == 2
    assert message in failure(capsys)


def test_records_with_parts_of_other_types(capsys):
    rf.save(build_model("mlp", input_shape=(1, 8, 8)), "net.safetensors")
    words = ["--model", "mlp", "--input-shape", "1x8x8", "--policy", "fixed=3", "--latency-batch", "2"]
    assert main(["compress", "net.safetensors", *words]) == 0
    file = Path("net-compressed.compression.json")
    record = json.loads(file.read_text())
    places = [(record, key) for key in record]
    for part in (record["layers"][0], record["before"], record["after"], record["settings"]):
        places += [(part, key) for key in part]
    refused = 0
    for part, key in places:
        kept = part[key]
        for other in (None, "text", 7, [7], {"a": 7}):
            part[key] = other
            file.write_text(json.dumps(record))
            capsys.readouterr()
            code = main(["inspect", str(file)])
            assert code in (0, 2)
            if code == 2:
                assert file.name in failure(capsys)
                refused += 1
        part[key] = kept
    assert refused > 50


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--policy", "fixed=3"], "--policy is for a network; name it with --model"),
        (["--latency-batch", "3"], "--latency-batch is for a network"),
        (["--model", "lenet5", "--policy", "magic"], "known are budget"),
        (["--model", "lenet5", "--policy", "budget params=0.001"], "Budget: params"),
        (["--model", "lenet5", "--latency-batch", "0"], "--latency-batch is 0"),
        (["--model", "lenet5", "--threads", "0"], "--threads is 0"),
        (["--model", "lenet5", "--device", "tpu"], "known are cpu, cuda, auto"),
        (["--model", "lenet"], "known are alexnet, lenet5"),
        (["--model", "alexnet"], "the file does not fit the model"),
        (["--model", "lenet5", "--input-shape", "1x99x99"], "lenet5 takes inputs of"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_failures(words, message, capsys):
    rf.save(build_model("lenet5"), "net.safetensors")
    assert main(["inspect", "net.safetensors", *words]) == 2
    assert message in failure(capsys)


def test_weights_that_are_no_numbers(capsys):
    model = build_model("lenet5")
    with torch.no_grad():
        model.linear2.weight[0, 0] = torch.nan
    rf.save(model, "net.safetensors")
    assert inspect("net.safetensors", "--model", "lenet5") == 2
    assert "the weight of 'linear2' holds NaN" in failure(capsys)


def test_an_optimiser_in_the_file_is_not_of_the_model(capsys):
    model = nn.Sequential(nn.Linear(30, 20))
    rf.factorize(model, 3)
    numbers = 30 * 3 + 3 * 3 + 20 * 3 + 20
    optimizer = rf.TDLRT(model, torch.optim.SGD, lr=0.1, momentum=0.9)
    for _ in range(2):
        model(torch.randn(8, 30)).square().sum().backward()
        optimizer.step()
    optimizer.truncate()
    rf.save(model, "alone.safetensors")
    rf.save(model, "both.safetensors", optimizer=optimizer)
    for name in ("alone", "both"):
        assert main(["inspect", f"{name}.safetensors"]) == 0
        out = capsys.readouterr().out
        assert rows(out, "numbers") == [[f"{numbers:,}"]]
        assert ("training state" in out) == (name == "both")
    assert "model with factorised layers and what trains it" in out
