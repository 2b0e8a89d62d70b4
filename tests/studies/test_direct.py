"""Chains of plain layers against the dense weight they stand for."""

from itertools import pairwise
from typing import get_args

import pytest
import torch
from torch import nn

from rankfold import NonFiniteError, OptionError, SelectorError, Tucker
from rankfold.decompose import cp
from rankfold.studies._direct import DIRECT_FORMS, Weights, replace_directly

CONVOLUTIONS = [
    {"kernel_size": 3, "stride": 2, "padding": 1},
    {"kernel_size": (3, 1), "stride": (1, 2), "padding": (0, 1)},
    {"kernel_size": (2, 3), "dilation": (2, 1), "padding": (1, 2), "bias": False},
    {"kernel_size": 3, "padding": "same", "padding_mode": "circular"},
    {"kernel_size": 3, "padding": (2, 1), "padding_mode": "reflect"},
    {"kernel_size": 1, "stride": 2, "padding": 1},
]


def _truncated(weight: torch.Tensor, form: str, rank: int) -> torch.Tensor:
    """Oracle for the dense weight that a chain from 'keep' has to compute with."""
    if form == "tucker":
        ranks = tuple(min(rank, weight.shape[mode]) for mode in (0, 1))
        return Tucker.from_dense(weight, ranks=ranks, modes=(0, 1)).to_dense()
    narrow = weight.squeeze()
    if form == "cp" and narrow.ndim > 2:
        parts = cp(narrow, rank, method="als", max_iterations=50, generator=torch.Generator().manual_seed(0))
        return parts.tensor.to_dense().reshape(weight.shape)
    left, values, right = torch.linalg.svd(weight.flatten(1), full_matrices=False)
    return (left[:, :rank] * values[:rank] @ right[:rank]).reshape(weight.shape)


@pytest.mark.parametrize("options", CONVOLUTIONS)
@pytest.mark.parametrize("form", DIRECT_FORMS)
def test_a_convolution_computes_with_the_truncated_weight(form: str, options: dict) -> None:
    dense = nn.Conv2d(6, 8, **options).double()
    network = nn.Sequential(nn.BatchNorm2d(6).double(), dense, nn.ReLU())
    inputs = torch.randn(2, 6, 9, 8, dtype=torch.float64)
    weight = dense.weight.detach().clone()
    (row,) = replace_directly(network, form, 4).converted
    with torch.no_grad():
        dense.weight.copy_(_truncated(weight, form, 4))
    expected = torch.relu(dense(network[0](inputs)))
    assert row.parameters_after == sum(layer.weight.numel() for layer in network[1])
    # Sums of at most 6 * 9 terms of size 1, three times over.
    torch.testing.assert_close(network(inputs), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("form", DIRECT_FORMS)
def test_a_linear_layer_computes_with_the_truncated_weight(form: str) -> None:
    network = nn.Sequential(nn.Linear(12, 7).double())
    inputs = torch.randn(5, 12, dtype=torch.float64)
    weight, bias = network[0].weight.detach().clone(), network[0].bias
    (row,) = replace_directly(network, form, 3).converted
    expected = nn.functional.linear(inputs, _truncated(weight, form, 3), bias)
    assert row.parameters_after == sum(layer.weight.numel() for layer in network[0])
    assert network[0][-1].bias is bias
    torch.testing.assert_close(network(inputs), expected, rtol=0, atol=1e-13)


def test_the_two_layers_of_a_matrix_have_equal_singular_values() -> None:
    network = nn.Sequential(nn.Conv2d(3, 8, 3).double())
    values = torch.linalg.svdvals(network[0].weight.detach().flatten(1))[:4]
    replace_directly(network, "matrix", 4)
    for layer in network[0]:
        torch.testing.assert_close(torch.linalg.svdvals(layer.weight.flatten(1)), values.sqrt())


@pytest.mark.parametrize("shape", [(8, 6, 3, 3), (16, 3, 5, 5), (20, 1, 5, 5), (12, 12, 1, 1), (10, 40)])
@pytest.mark.parametrize("form", DIRECT_FORMS.values(), ids=DIRECT_FORMS)
def test_the_largest_rank_represents_every_weight(form, shape: tuple[int, ...]) -> None:
    assert form.parameters(shape, form.largest_rank(shape)) >= torch.Size(shape).numel() or form.name == "cp"
    counts = [form.parameters(shape, rank) for rank in range(1, form.largest_rank(shape) + 1)]
    assert all(first <= second for first, second in pairwise(counts))
    if form.name != "cp" or len([size for size in shape if size > 1]) == 2:
        weight = torch.randn(shape, dtype=torch.float64)
        value = form.approximate(weight, form.largest_rank(shape), torch.Generator())
        torch.testing.assert_close(value.to_dense().reshape(shape), weight)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.4, 1.0])
@pytest.mark.parametrize("form", DIRECT_FORMS)
def test_a_share_gives_the_largest_rank_that_fits(form: str, share: float) -> None:
    network = nn.Sequential(nn.Conv2d(10, 12, 3), nn.Flatten(), nn.Linear(48, 30))
    for row in replace_directly(network, form, share=share, weights="random").converted:
        (rank,) = row.ranks
        record, allowed = DIRECT_FORMS[form], share * row.parameters_before
        assert row.parameters_after == record.parameters(row.shape, rank)
        assert row.parameters_after <= allowed or rank == 1
        assert rank == record.largest_rank(row.shape) or record.parameters(row.shape, rank + 1) > allowed


@pytest.mark.parametrize("weights", ["rescale", "random"])
@pytest.mark.parametrize("form", DIRECT_FORMS)
def test_a_start_from_scratch_has_the_norm_of_the_dense_weight(form: str, weights: Weights) -> None:
    assert weights in get_args(Weights)
    network = nn.Sequential(nn.Conv2d(6, 8, 3, bias=False).double())
    norm = float(network[0].weight.detach().norm())
    replace_directly(network, form, 3, weights=weights)
    # What the chain does to unit impulses, one per input channel, is its weight.
    impulses = torch.zeros(6, 6, 5, 5, dtype=torch.float64)
    impulses[range(6), range(6), 2, 2] = 1
    assert float(network(impulses).detach().norm()) == pytest.approx(norm, rel=1e-12)


def test_the_generator_decides_random_weights_and_nothing_else_is_drawn() -> None:
    state = torch.get_rng_state()
    outputs = []
    for seed in (0, 0, 1):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Conv2d(3, 4, 3))
        torch.set_rng_state(state)
        generator = torch.Generator().manual_seed(seed)
        replace_directly(network, "cp", 2, weights="random", generator=generator)
        assert torch.equal(torch.get_rng_state(), state)
        outputs.append(network(torch.ones(1, 3, 3, 3)))
    assert torch.equal(outputs[0], outputs[1])
    assert not torch.equal(outputs[0], outputs[2])


def test_layers_that_cannot_be_written_so_are_listed() -> None:
    network = nn.Sequential(
        nn.Conv2d(4, 4, 3, groups=2), nn.Conv1d(4, 4, 3), nn.Linear(5, 5), nn.Linear(5, 5), nn.Linear(6, 5)
    )
    network[3].weight = network[2].weight
    before = dict(network.named_modules())
    conversion = replace_directly(network, "matrix", 2)
    assert [row.name for row in conversion.converted] == ["4"]
    assert all(network.get_submodule(row.name) is before[row.name] for row in conversion.skipped)
    assert [row.reason for row in conversion.skipped] == [
        "its channels are grouped",
        "neither a linear layer nor a 2d convolution",
        "it shares its weight",
        "it shares its weight",
    ]


def test_bad_input_is_refused_before_anything_changes() -> None:
    network = nn.Sequential(nn.Linear(5, 5), nn.Linear(5, 5))
    with pytest.raises(OptionError, match="exactly one"):
        replace_directly(network, "matrix")
    with pytest.raises(OptionError, match="at least 1"):
        replace_directly(network, "matrix", 0)
    with pytest.raises(OptionError, match=r"\(0, 1\]"):
        replace_directly(network, "matrix", share=1.5)
    with pytest.raises(OptionError, match="rescale"):
        replace_directly(network, "matrix", 2, weights="dense")  # pyright: ignore[reportArgumentType]
    with pytest.raises(OptionError, match="known are cp, matrix, tucker"):
        replace_directly(network, "tt", 2)
    with pytest.raises(SelectorError):
        replace_directly(network, "matrix", 2, include="conv")
    network[1].weight.data[0, 0] = torch.nan
    for form in DIRECT_FORMS:
        for weights in get_args(Weights):
            with pytest.raises(NonFiniteError):
                replace_directly(network, form, 2, weights=weights)
    assert all(type(layer) is nn.Linear for layer in network)
