"""What the record of a compression says of each layer."""

import json
import math
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import rankfold as rf
from rankfold.cli import main
from rankfold.cli._compress_spectra import spectra_of_layers, thinned_places
from rankfold.compression import CompressedLayer

OWN = """
from torch import nn
def net():
    maps = nn.Conv2d(2, 12, 3, padding=1)
    return nn.Sequential(maps, nn.ReLU(), nn.Flatten(), nn.Linear(12 * 36, 24), nn.Linear(24, 5), nn.Linear(5, 1))
def attention():
    return nn.TransformerEncoderLayer(16, 2, 24, batch_first=True)
def unused():
    network = nn.Sequential(nn.Linear(12, 10))
    network[0].spare = nn.Linear(14, 11)
    return network
def tokens():
    return nn.Sequential(nn.Embedding(20, 8), nn.Flatten(), nn.Linear(32, 12))
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [entry for entry in sys.path if entry])
    (tmp_path / "own_recorded.py").write_text(OWN)
    yield tmp_path
    sys.modules.pop("own_recorded", None)


def recorded(name, *words):
    from rankfold.cli._model_source import load_network

    torch.manual_seed(0)
    network = load_network(f"own_recorded:{name}")
    rf.save(network, "net.safetensors")
    usual = ["--model", f"own_recorded:{name}", "--threads", "1", "--latency-batch", "4", "--device", "cpu"]
    assert main(["compress", "net.safetensors", *usual, *words]) == 0
    record = json.loads(Path("net-compressed.compression.json").read_text())
    return network, record, {layer["name"]: layer for layer in record["layers"]}


def test_costs_of_each_layer_dense_and_now():
    _, record, layers = recorded("net", "--policy", "fixed=5", "--input-shape", "2x6x6")
    conv, linear, full, last = (layers[name] for name in "0345")
    # 36 pixels, 12 maps, windows of 18: two operations per multiplication.
    assert conv["flops_before"] == 2 * 36 * 12 * 18
    assert linear["flops_before"] == 2 * 24 * 432
    assert linear["flops_after"] == 2 * 5 * (24 + 432)
    assert full["ranks"] == [5, 5]  # of 5 outputs, so that it folds to a dense layer
    assert full["flops_after"] == full["flops_before"] == 2 * 24 * 5
    assert "rank 1 as it is" in last["reason"]
    assert last["flops_after"] == last["flops_before"] == 2 * 5
    assert last["seconds_after"] == last["seconds_before"]
    assert sum(layer["flops_before"] for layer in layers.values()) == record["before"]["flops"]
    assert sum(layer["flops_after"] for layer in layers.values()) == record["after"]["flops"]
    assert all(layer[f"seconds_{when}"] > 0 for layer in layers.values() for when in ("before", "after"))
    assert record["seconds"]["measuring layers"] > 0
    assert record["inputs"] == ["2x6x6"]


def test_spectra_are_those_of_the_dense_weights():
    network, _, layers = recorded("net", "--policy", "fixed=5", "--input-shape", "2x6x6")
    weight = network[0].weight.detach().double()
    found = layers["0"]["spectra"]
    assert found["places"] == list(range(1, 13))
    assert [(one["mode"], one["size"]) for one in found["modes"]] == [(0, 12), (1, 2)]
    for one, unfolded in zip(
        found["modes"], (weight.flatten(1), weight.transpose(0, 1).flatten(1)), strict=True
    ):
        assert one["values"] == pytest.approx(torch.linalg.svdvals(unfolded).tolist(), rel=1e-3)
    (one,) = layers["3"]["spectra"]["modes"]  # the two of a matrix are one
    wanted = torch.linalg.svdvals(network[3].weight.detach().double()).tolist()
    assert one["values"] == pytest.approx(wanted, rel=1e-3)
    assert layers["4"]["spectra"]["modes"][0]["size"] == 5


def test_projections_of_attention():
    network, _, layers = recorded("attention", "--policy", "fixed=3", "--input-shape", "6x16")
    query = network.self_attn.in_proj_weight.detach()[:16]
    values = layers["self_attn.q_proj"]["spectra"]["modes"][0]["values"]
    assert values == pytest.approx(torch.linalg.svdvals(query.double()).tolist(), rel=1e-3)
    assert layers["self_attn.q_proj"]["flops_after"] == 6 * 2 * 3 * 32
    assert isinstance(network.self_attn, nn.MultiheadAttention)


def test_a_layer_that_is_never_called_has_no_costs():
    _, _, layers = recorded("unused", "--policy", "fixed=2", "--input-shape", "12")
    assert [layers["0.spare"][f"{what}_before"] for what in ("flops", "seconds")] == [None, None]
    assert layers["0"]["seconds_after"] > 0
    assert main(["report", "net-compressed.compression.json"]) == 0


def test_tokens():
    _, record, layers = recorded("tokens", "--policy", "fixed=3", "--input-shape", "int64:4")
    assert record["inputs"] == ["int64:4"]
    assert layers["0"]["seconds_after"] > 0
    assert layers["0"]["spectra"]["modes"][0]["size"] == 8


def row(layer, name="0", **changes):
    return CompressedLayer(
        name=name,
        kind="Linear",
        shape=tuple(layer.weight.shape),
        parameters_before=layer.weight.numel(),
        parameters_after=layer.weight.numel(),
        **changes,
    )


def spectra(layer, **changes):
    return spectra_of_layers(nn.Sequential(layer), [row(layer, **changes)], lambda done, count: None)[0]


def test_long_spectra_are_thinned_and_those_of_huge_weights_left_out():
    layer = nn.Linear(1100, 700)
    nn.init.orthogonal_(layer.weight)
    found = spectra(layer, modes=(0, 1), ranks=(613, 613))
    places, (one,) = found["places"], found["modes"]
    assert len(places) <= 66
    assert {1, 613, 614, 700} <= set(places)
    assert one["size"] == 700
    assert one["values"] == pytest.approx([1.0] * len(places), rel=1e-3)
    assert spectra(nn.Linear(1100, 1025)) is None
    # A convolution of 1100 maps from 40 windows: the one unfolding is small although the mode is long.
    wide = nn.Conv2d(4, 1100, 3)
    assert [(one["mode"], one["size"]) for one in spectra(wide)["modes"]] == [(0, 36), (1, 4)]


def test_weights_without_a_spectrum():
    broken = nn.Linear(6, 5)
    nn.init.constant_(broken.weight, math.nan)
    assert spectra(broken) is None
    assert spectra(nn.Linear(64, 1)) is None
    assert spectra_of_layers(nn.Sequential(), [row(nn.Linear(3, 2), "gone")], lambda done, count: None) == [
        None
    ]


@pytest.mark.parametrize(
    ("count", "cut"), [(1, None), (64, 3), (65, 64), (65, 65), (1000, 1), (10**6, 500_000)]
)
def test_thinned_places(count, cut):
    places = thinned_places(count, cut)
    assert places == sorted(set(places))
    assert (places[0], places[-1]) == (1, count)
    assert len(places) <= 66
    assert count > 64 or len(places) == count
    assert cut is None or {cut, min(cut + 1, count)} <= set(places)


def test_a_record_of_many_layers_stays_short():
    """The worst spectra of a hundred layers, as they are written."""
    places = thinned_places(1024, 300)
    one = {"mode": 0, "size": 1024, "values": [0.001234] * len(places)}
    layers = [{"spectra": {"places": places, "modes": [one, one]}}] * 100
    assert len(json.dumps(layers, indent=1)) < 400_000
