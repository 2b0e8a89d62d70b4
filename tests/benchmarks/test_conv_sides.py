"""The sides of the benchmark of convolutions compute the same."""

import pytest
import torch
from benchmarks._comparison import Comparison

tensorly = pytest.importorskip("tensorly")
pytest.importorskip("opt_einsum")


@pytest.fixture
def torch_backend():
    # tensorly-torch sets tensorly's backend for the whole process.
    with tensorly.backend_context("pytorch"):
        yield


@pytest.mark.parametrize("modes", [(0, 1), (0, 1, 2, 3)])
def test_peer_and_chain_agree_with_the_dense_layer(torch_backend, modes):
    from benchmarks._conv_sides import chain, chain_tensors, layers

    sides = layers(6, 4, modes)
    x = torch.randn(2, 6, 7, 7)
    expected = sides["dense"](x)
    assert set(sides) == {"dense", "dense_nchw", "rankfold", "rankfold_nchw", "peer"}
    for module in sides.values():
        torch.testing.assert_close(module(x), expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(chain(chain_tensors(sides["rankfold"]), x), expected, rtol=1e-4, atol=1e-5)


def test_the_linear_peer_keeps_to_its_compression(torch_backend):
    from benchmarks._peers import tucker_linear

    peer = tucker_linear(64, 32, 4)
    assert peer(torch.randn(3, 64)).shape == (3, 32)
    # It rounds its ranks by itself.
    assert sum(parameter.numel() for parameter in peer.parameters()) == pytest.approx(64 * 32 / 4, rel=0.1)


def test_a_speedup_is_above_one_for_the_faster_side():
    comparison = Comparison({"slow": [2.0, 4.0, 9.0], "fast": [1.0, 1.0, 3.0]})
    assert comparison.speedup("fast", over="slow") == 3.0
    assert comparison.milliseconds("fast") == {"fast_ms": 1000.0}
