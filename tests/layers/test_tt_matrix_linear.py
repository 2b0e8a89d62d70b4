from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from rankfold import RankError, ShapeError, TTMatrix, layers
from rankfold.diagnostics import UpdateRank, weight_spectra
from rankfold.formats import full_bonds, plan_contraction
from rankfold.init import initialize_two_layers, rescale_layers
from rankfold.testing import LayerContract, assert_same


class TestTTMatrixLinear(LayerContract):
    layer = layers.TTMatrixLinear
    full_rank = staticmethod(full_bonds)
    options: ClassVar = {"bias": (True, False)}

    def largest_rank(self, layer: Any) -> int:
        return max(full_bonds(layer.out_sizes, layer.in_sizes))

    def dense(self, **options: Any) -> nn.Module:
        return nn.Linear(12, 8, **options)

    def inputs(self) -> Tensor:
        return torch.randn(5, 12)


class TestTallTTMatrixLinearOnSequences(TestTTMatrixLinear):
    def dense(self, **options: Any) -> nn.Module:
        return nn.Linear(6, 35, **options)  # sizes 7 x 5 x 1 and 3 x 2 x 1

    def inputs(self) -> Tensor:
        return torch.randn(2, 3, 5, 6)


def test_sizes_and_cores() -> None:
    layer = layers.TTMatrixLinear(64, 27, rank=2)
    assert (layer.out_sizes, layer.in_sizes) == ((3, 3, 3), (4, 4, 4))
    layer = layers.TTMatrixLinear(64, 27, rank=2, cores=2)
    assert (layer.out_sizes, layer.in_sizes) == ((9, 3), (8, 8))
    layer = layers.TTMatrixLinear(64, 27, rank=(2, 3, 4), in_sizes=(2, 2, 4, 4), out_sizes=(3, 3, 1, 3))
    assert layer.ranks == (2, 3, 4)
    layer = layers.TTMatrixLinear(64, 27, rank=1, in_sizes=(2, 2, 4, 4))
    assert layer.out_sizes == (3, 3, 3, 1)
    assert layer.value.shape == layer.weight_shape == (27, 64)


@pytest.mark.parametrize("rank", [0, 17, (2,), (2, 99), True, 1.5])
def test_ranks_out_of_range(rank: Any) -> None:
    with pytest.raises(RankError, match="TTMatrixLinear"):
        layers.TTMatrixLinear(16, 16, rank=rank)


@pytest.mark.parametrize(
    "options",
    [
        {"cores": 1},
        {"out_sizes": (4, 5)},
        {"in_sizes": (4, 4), "out_sizes": (2, 2, 4)},
        {"in_sizes": (-4, -4)},
    ],
)
def test_sizes_that_do_not_fit(options: Any) -> None:
    with pytest.raises(ShapeError, match="TTMatrixLinear"):
        layers.TTMatrixLinear(16, 16, rank=1, **options)


def test_an_input_of_another_width_is_refused() -> None:
    layer = layers.TTMatrixLinear(8, 8, rank=2)
    with pytest.raises(ShapeError, match="last axis must be 8"):
        layer(torch.randn(4, 6))  # 24 numbers could be three rows of eight


def test_one_vector_and_no_rows() -> None:
    layer = layers.TTMatrixLinear(12, 8, rank=2, dtype=torch.float64)
    vector = torch.randn(12, dtype=torch.float64)
    assert_same(layer(vector), layer(vector[None])[0], terms=20)
    assert layer(vector.new_empty(0, 12)).shape == (0, 8)


def test_initial_cores_have_equal_norms_and_the_asked_variance() -> None:
    """Released code takes the product of the ranks for its square root, and makes the weight five times too small."""
    for rank in (1, 4, 12):
        layer = layers.TTMatrixLinear(64, 64, rank=rank, generator=torch.Generator().manual_seed(0))
        norms = torch.stack([torch.linalg.vector_norm(core) for core in layer.parts.values()])
        assert torch.allclose(norms, norms[:1], rtol=1e-5)
        assert abs(float(layer.weight.detach().square().mean()) * 3 * 64 - 1) < 1e-4


def test_conversion_spreads_the_norm_over_the_cores() -> None:
    layer = layers.TTMatrixLinear.from_dense(nn.Linear(24, 36), rank=5)
    norms = torch.stack([torch.linalg.vector_norm(core) for core in layer.parts.values()])
    assert torch.allclose(norms, norms[:1], rtol=1e-4)


def test_a_weight_of_zeros_converts_and_trains() -> None:
    dense = nn.Linear(8, 8)
    nn.init.zeros_(dense.weight)
    layer = layers.TTMatrixLinear.from_dense(dense, rank=2)
    inputs = torch.randn(5, 8)
    assert torch.equal(layer(inputs), dense(inputs))
    layer(inputs).sum().backward()
    gradients = [part.grad for part in layer.parts.values()]
    assert all(gradient is not None and gradient.isfinite().all() for gradient in gradients)
    assert any(gradient is not None and gradient.any() for gradient in gradients)


# -- how it runs ---------------------------------------------------------------------------------------


def operations(layer: nn.Module, inputs: Tensor) -> int:
    with FlopCounterMode(display=False) as counter:
        layer(inputs)
    return counter.get_total_flops()


def test_it_takes_the_order_of_least_operations() -> None:
    # Two sizes for which the two ends, a merged pair and the dense matrix are best.
    for rank, expected in ((2, "chain"), (60, "dense")):
        layer, inputs = layers.TTMatrixLinear(512, 512, bias=False, rank=rank), torch.randn(600, 512)
        plans = {
            way: plan_contraction(layer.out_sizes, layer.in_sizes, layer.ranks, 600, execution=way)
            for way in ("chain", "dense")
        }
        assert operations(layer, inputs) == plans[expected].flops
        for way in layer.executions:
            layer.execution = way
            assert operations(layer, inputs) == plans[way].flops
    layer = layers.TTMatrixLinear(4096, 1024, bias=False, rank=16, cores=4)
    best = plan_contraction(layer.out_sizes, layer.in_sizes, layer.ranks, 64)
    assert set(best.groups) == {(0, 1), (2, 3)}
    assert operations(layer, torch.randn(64, 4096)) == best.flops


def test_evaluation_keeps_what_it_multiplied_out() -> None:
    layer, inputs = layers.TTMatrixLinear(64, 64, bias=False, rank=12), torch.randn(100, 64)
    with torch.no_grad():
        layer.eval()
        first, second = operations(layer, inputs), operations(layer, inputs)
        assert second < first
        assert second == 2 * 100 * 64 * 64  # no more than the dense layer
        layer.train().eval()
        assert operations(layer, inputs) == first


def test_the_note_tells_what_it_costs() -> None:
    cheap, dear = layers.TTMatrixLinear(4096, 4096, rank=8), layers.TTMatrixLinear(4096, 4096, rank=60)
    assert cheap.note == "its contraction takes 0.31x the multiplications of the dense layer"
    assert dear.note is not None
    assert dear.note.startswith("no faster than dense: contracting its cores takes 14.5x the multiplications")


def test_a_layer_can_take_over_a_value() -> None:
    layer = layers.TTMatrixLinear(12, 8, rank=2)
    parameters = list(layer.parameters())
    other = TTMatrix.from_dense(torch.randn(8, 12), layer.out_sizes, layer.in_sizes, ranks=(3, 1))
    layer.assign(other)
    assert list(layer.parameters()) == parameters
    assert torch.equal(layer.weight, other.to_dense())
    layer.reserve((1, 1))
    assert layer.ranks == (1, 1)
    with pytest.raises(RankError, match=r"TTMatrixLinear\.reserve"):
        layer.reserve((1, 0))
    for sizes in (((2, 2, 2), (2, 2, 3)), ((4, 2), (4, 3))):
        other = TTMatrix.from_dense(torch.randn(8, 12), *sizes, ranks=1)
        before = layer.weight
        with pytest.raises(ShapeError, match="split the matrix into these"):
            layer.assign(other)
        assert torch.equal(layer.weight, before)


def test_parts_of_the_library_know_it() -> None:
    torch.manual_seed(0)
    layer = layers.TTMatrixLinear(12, 8, rank=2, dtype=torch.float64)
    model = nn.Sequential(layer, nn.ReLU(), layers.TTMatrixLinear(8, 6, rank=2, dtype=torch.float64))
    assert [(site.name, site.value.shape) for site in layers.format_sites(model)] == [
        ("0", (8, 12)),
        ("2", (6, 8)),
    ]
    (found, _) = weight_spectra(model)
    assert_same(
        torch.tensor(found.values, dtype=torch.float64), torch.linalg.svdvals(layer.weight), terms=100
    )
    update, inputs = UpdateRank(model), torch.randn(5, 12, dtype=torch.float64)
    before = model(inputs)
    rescale_layers([model[0], model[2]], 2.0)
    assert_same(model(inputs), before, terms=100)
    assert [one.name for one in update.spectra()] == ["0", "2"]
    deviations = initialize_two_layers(model[0], model[2], 2.0)
    for part, wanted in zip((model[0], model[2]), deviations, strict=True):
        assert float(part.weight.detach().square().mean().sqrt()) == pytest.approx(wanted, rel=1e-12)
        assert not part.bias.any()
