"""``rankfold bench-layer``, with times that the tests decide."""

import json

import pytest
import torch
from torch import nn

from rankfold.cli import _bench_layer, main
from rankfold.convert import Timings
from rankfold.layers import FactorizedLayer
from rankfold.report import LayerBench, RankBench, break_even_rank, verdict


@pytest.fixture
def timed(monkeypatch):
    """Dense takes 1 s, a factorised layer 10 ms per rank, its chains 11 ms; what was timed is noted."""
    noted = []

    def time_layers(modules, calls, *, training=False):
        (call,) = calls
        shapes = {tuple(module(call.input()).shape) for module in modules}
        noted.append((modules, call, training, shapes))
        rank = next(module.ranks[0] for module in modules if isinstance(module, FactorizedLayer))
        seconds = [
            0.010 * rank if isinstance(module, FactorizedLayer) else 0.011 * rank if side else 1.0
            for side, module in enumerate(modules)
        ]
        return Timings(tuple((second,) * 5 for second in seconds))

    monkeypatch.setattr(_bench_layer, "time_layers", time_layers)
    return noted


def cells(text):
    return [line.split() for line in text.splitlines()]


def test_a_convolution(timed, capsys):
    words = ["conv", "128", "256", "--size", "4", "--batch", "2", "--ranks", "120", "64", "--threads", "1"]
    assert main(["bench-layer", *words, "--training", "--channels-last"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(
        "Conv2d 3x3 128 to 256, input 2x128x4x4, channels last, forward and backward, 1 thread"
    )
    work = 128 * 256 * 9 / (128 * 64 + 64 * 64 * 9 + 64 * 256)
    assert ["dense", "1000.0"] in cells(out)
    assert ["64", "640.0", "704.0", f"{work:.2f}x", "1.56x"] in cells(out)
    assert "Low rank is faster here at every rank tried" not in out
    assert "Below rank" in out
    (modules, call, training, shapes), _ = timed
    assert shapes == {(2, 256, 4, 4)}
    assert training
    assert call.requires_grad
    assert call.input().is_contiguous(memory_format=torch.channels_last)
    assert len(modules) == 5  # dense, the layer, and its three chains
    assert type(modules[0]) is nn.Conv2d
    assert torch.get_num_threads() == 1


def test_the_work_of_a_stride(timed, capsys):
    assert main(["bench-layer", "conv", "32", "32", "--size", "8", "--stride", "2", "--ranks", "16"]) == 0
    dense, chain = 32 * 32 * 9 * 16, 32 * 16 * 64 + 16 * 16 * 9 * 16 + 16 * 32 * 16
    assert f"{dense / chain:.2f}x" in capsys.readouterr().out


def test_a_linear_layer_and_its_file(timed, tmp_path, capsys):
    file = tmp_path / "figures.json"
    assert main(["bench-layer", "linear", "200", "150", "--batch", "3", "--json", str(file)]) == 0
    content = json.loads(file.read_text())
    assert [row["rank"] for row in content["ranks"]] == [32, 64, 96, 128]
    assert content["break_even_rank"] == round(96 + 32 * (1 / 0.96 - 1.02) / (1 / 0.96 - 1 / 1.28))
    assert content["verdict"] in capsys.readouterr().out
    assert content["settings"]["device"] in ("cpu", "cuda")
    assert content["dense"] == 1.0
    assert sorted(tmp_path.iterdir()) == [file.with_suffix(".html"), file]
    assert content["command"] == "rankfold bench-layer linear 200 150 --batch 3 --ranks 32 64 96 128"
    assert content["versions"]["torch"] == torch.__version__


def test_ranks_that_are_tried(timed, capsys):
    for words, ranks in (
        (["linear", "300", "512"], list(range(48, 300, 48))),
        (["linear", "784", "10"], [5]),
        (["linear", "40", "40", "--ranks", "40", "7", "7"], [7, 40]),
    ):
        timed.clear()
        assert main(["bench-layer", *words, "--batch", "1"]) == 0
        assert [modules[1].ranks[0] for modules, *_ in timed] == ranks


def bench(*speedups):
    rows = [
        RankBench(rank=16 * (index + 1), factorized=1, folded=1, flop_ratio=1, speedup=speedup)
        for index, speedup in enumerate(speedups)
    ]
    return LayerBench(title="", dense=1, ranks=tuple(rows))


@pytest.mark.parametrize(
    ("speedups", "rank", "sentence"),
    [
        ((3, 1.52, 0.52), 40, "Below rank 40 low rank is faster here."),
        ((3, 1.03, 1.01), 40, "Below rank 40 low rank is faster here."),
        ((3, 2), None, "Low rank is faster here at every rank tried, up to 32."),
        ((1.01, 0.5), None, "Low rank is faster here at none of the ranks tried: leave this layer dense."),
        ((3, 0.9, 1.2), None, "Of the ranks tried, low rank is faster here at 16, 48 only."),
    ],
)
def test_the_verdict(speedups, rank, sentence):
    assert break_even_rank(bench(*speedups).ranks) == rank
    assert verdict(bench(*speedups)) == sentence


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["pool", "8", "8"], "got layer 'pool', known are conv, linear"),
        (["conv", "0", "8"], "inputs is 0"),
        (["conv", "8", "-8"], "outputs is -8"),
        (["conv", "8", "8", "--stride", "0"], "stride is 0"),
        (["linear", "8", "8", "--batch", "0"], "batch is 0"),
        (["linear", "8", "8", "--threads", "0"], "threads is 0"),
        (["linear", "8", "8", "--kernel", "3"], "--kernel is of conv only"),
        (["linear", "8", "8", "--channels-last"], "--channels-last is of conv only"),
        (["linear", "8", "8", "--ranks", "4", "9"], "--ranks has 9, allowed is 1 to 8"),
        (["linear", "8", "1"], "the weight has rank 1 as it is"),
        (["linear", "8", "8", "--device", "tpu"], "known are cpu, cuda, auto"),
        (["linear", "8", "8", "--json", "no/such/folder/x.json"], "there is no such folder"),
        (
            ["linear", "8", "8", "--json", "x.html"],
            "the page beside the figures takes this name; name a .json.",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_refused(words, message, timed, capsys):
    assert main(["bench-layer", *words]) == 2
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert timed == []


def test_a_layer_that_does_not_fit(monkeypatch, capsys):
    def fail(*_, **__):
        raise RuntimeError("not enough memory: you tried to allocate 1 byte\nC++ frames")

    monkeypatch.setattr(_bench_layer, "time_layers", fail)
    assert main(["bench-layer", "linear", "20", "20"]) == 2
    err = capsys.readouterr().err
    assert "cannot be run at this size (not enough memory: you tried to allocate 1 byte)" in err
    assert err.count("\n") == 1


def test_with_the_clock_of_the_machine(capsys):
    assert main(["bench-layer", "linear", "32", "32", "--batch", "2"]) == 0
    assert "of the ranks tried" in (out := capsys.readouterr().out) or "at every rank tried" in out
