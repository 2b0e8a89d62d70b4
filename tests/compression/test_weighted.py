"""Weighted truncation against brute force: what is promised to be optimal is."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.compression.networks import LAYERS
from torch import Tensor, nn

from rankfold.compression._moments import Moments, collect_moments
from rankfold.compression._roots import root_of
from rankfold.compression._weighted import WeightedTruncation
from rankfold.convert import convertible, weight_groups
from rankfold.formats import full_ranks
from rankfold.ranks import Choice


def truncation_of(layer: nn.Module, data: Tensor) -> tuple[WeightedTruncation, list, Moments]:
    model = nn.Sequential(layer)
    (group,) = weight_groups(convertible(model))
    modes = group[0].rule.layer.channel_modes
    key = id(layer.weight)
    found, _ = collect_moments(model, {key: [layer]}, {key: modes}, [data])
    return WeightedTruncation(found), group, found[key]


def squared(change: Tensor, moments: Moments) -> float:
    """``trace(G D A D^T)``, written out."""
    flat = change.flatten(1)
    return float(torch.einsum("op,oi,ij,pj->", moments.outputs, flat, moments.joint, flat))


@pytest.mark.parametrize(("layer", "data"), [row[1:] for row in LAYERS], ids=[row[0] for row in LAYERS])
@pytest.mark.parametrize("share", [0.4, 1.0])
def test_every_form_at_every_share(layer: nn.Module, data: Tensor, share: float) -> None:
    truncation, group, moments = truncation_of(layer, data)
    weight = layer.weight.detach()
    total = squared(weight, moments)
    ways = [(0, 1)] if weight.ndim == 2 else [(0, 1), (0,), (1,), tuple(range(weight.ndim))]
    for modes in ways:
        full = full_ranks(weight.shape, modes)
        assert truncation.energies(group, modes).shape == full
        ranks = tuple(max(1, round(share * rank)) for rank in full)
        tucker = truncation.tucker(group, Choice(modes, ranks))
        assert tuple(tucker.ranks[mode] for mode in modes) <= ranks
        assert float(tucker.orthonormality_defect()) < 1e-12
        lost, whole = truncation.error(group, tucker.to_dense())
        assert whole == pytest.approx(total, rel=1e-4)
        assert lost == pytest.approx(squared(weight - tucker.to_dense(), moments), rel=1e-3, abs=1e-4 * total)
        if share == 1.0:
            torch.testing.assert_close(tucker.to_dense(), weight, rtol=1e-6, atol=1e-7)


@given(rank=st.integers(1, 4), seed=st.integers(0, 1000))
@settings(max_examples=15, deadline=None)
def test_no_matrix_of_the_rank_is_better(rank: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    layer = nn.Linear(6, 5).double()
    layer.weight.data = torch.randn(5, 6, generator=generator).double()
    data = torch.randn(40, 6, generator=generator).double() * torch.logspace(0, -3, 6)
    truncation, group, moments = truncation_of(layer, data)
    best = truncation.tucker(group, Choice((0, 1), (rank, rank)))
    error = squared(layer.weight.detach() - best.to_dense(), moments)
    energies = truncation.energies(group, (0, 1)).diagonal()
    assert error == pytest.approx(float(energies[rank:].sum()), rel=1e-3, abs=1e-8)  # weighted Eckart-Young
    for _ in range(10):
        near = [tensor + 0.01 * torch.randn(tensor.shape, generator=generator) for tensor in best.factors]
        other = near[0] @ best.core @ near[1].mT
        assert squared(layer.weight.detach() - other, moments) >= error * (1 - 1e-9)


def test_the_core_is_optimal_for_its_input_basis() -> None:
    _, layer, data = LAYERS[2]
    truncation, group, moments = truncation_of(layer, data)
    weight = layer.weight.detach()
    tucker = truncation.tucker(group, Choice((0, 1), (3, 2)))
    error = squared(weight - tucker.to_dense(), moments)
    generator = torch.Generator().manual_seed(2)
    for mode, _ in itertools.product((0, "core"), range(10)):
        core, outer = tucker.core, tucker.factors[0]
        if mode == "core":
            core = core + 0.01 * torch.randn(core.shape, generator=generator, dtype=core.dtype)
        else:
            outer = outer + 0.01 * torch.randn(outer.shape, generator=generator, dtype=core.dtype)
        other = torch.einsum("abxy,oa,ib->oixy", core, outer, tucker.factors[1])
        assert squared(weight - other, moments) >= error * (1 - 1e-6)


def test_weights_matter_where_the_data_are() -> None:
    """A direction that the data never take is given up first."""
    layer = nn.Linear(4, 4, bias=False).double()
    layer.weight.data = torch.diag(torch.tensor([10.0, 3.0, 2.0, 1.0])).double()
    data = torch.randn(200, 4).double()
    data[:, 0] = 0
    truncation, group, _ = truncation_of(layer, data)
    kept = truncation.tucker(group, Choice((0, 1), (2, 2))).to_dense().diagonal()
    assert kept.abs()[0] < 0.1
    assert kept.abs()[1] > 2.5


def test_roots() -> None:
    moment = torch.tensor([[4.0, 1.0], [1.0, 3.0]]).double()
    root = root_of(moment)
    torch.testing.assert_close(root.half @ root.half, moment)
    torch.testing.assert_close(root.half @ root.inverse, torch.eye(2).double())
    empty = root_of(torch.zeros(3, 3).double())
    assert bool(empty.half.isfinite().all() & empty.inverse.isfinite().all())
    rare = root_of(torch.tensor([1.0, 0.0]).double())
    assert bool(rare.inverse.isfinite().all())


def test_transposed_grouped_and_embedding_layers() -> None:
    torch.manual_seed(0)
    cases = [
        (nn.ConvTranspose2d(6, 4, 3, stride=2).double(), torch.randn(3, 6, 4, 4).double()),
        (nn.ConvTranspose2d(6, 4, 3, groups=2).double(), torch.randn(3, 6, 4, 4).double()),
        (nn.Conv2d(6, 8, 3, groups=2).double(), torch.randn(3, 6, 5, 5).double()),
        (nn.Embedding(9, 5).double(), torch.randint(0, 9, (4, 6))),
    ]
    for layer, data in cases:
        truncation, group, _ = truncation_of(layer, data)
        weight = layer.weight.detach()
        ways = [(0, 1)] if weight.ndim == 2 else [(0, 1), (0,), (1,), (0, 1, 2, 3)]
        for modes in ways:
            full = full_ranks(weight.shape, modes)
            exact = truncation.tucker(group, Choice(modes, full)).to_dense()
            torch.testing.assert_close(exact, weight, rtol=1e-5, atol=1e-6)
            half = tuple(max(rank // 2, 1) for rank in full)
            lost, total = truncation.error(group, truncation.tucker(group, Choice(modes, half)).to_dense())
            assert 0 < lost < total
