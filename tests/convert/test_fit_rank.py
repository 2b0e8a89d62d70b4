"""The share of the full rank at which a network has a given size."""

import copy
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import nn

import rankfold as rf
from rankfold import OptionError, SelectorError
from rankfold.models import MODELS

# Of a matrix of 16 outputs and 16 x 9 inputs by one rank in one mode.
LEAST_STEP = 16 + 16 * 9


def size(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def fitted(model: nn.Module, target: float, **options: Any) -> int:
    """Size of the model at the ranks that fit, which lie between those of two shares."""
    before = {name: parameter.clone() for name, parameter in model.named_parameters()}
    policy = rf.fit_rank(model, target, **options)
    assert all(torch.equal(before[name], parameter) for name, parameter in model.named_parameters())
    ranks, sizes = [], []
    for rank in (rf.Fraction(policy.share), policy, rf.Fraction(min(policy.share * (1 + 1e-6), 1.0))):
        other = copy.deepcopy(model)
        conversion = rf.factorize(other, rank, **options)
        sizes.append(size(other))
        ranks.append({row.name: row.ranks for row in conversion.converted})
    even, reached, _ = ranks
    assert {name for name in even if even[name] != reached[name]} >= set(policy.raised)
    assert all(two >= one for name in even for one, two in zip(even[name], reached[name], strict=True))
    assert sizes[2] > (target if target > 1 else target * size(model)) or policy.share == 1.0
    return sizes[1]


@pytest.mark.parametrize("target", [0.05, 0.1, 0.37, 1.0])
@pytest.mark.parametrize("options", [{}, {"modes": "all"}, {"modes": (0,)}])
def test_a_network_of_convolutions_comes_within_half_a_percent(
    target: float, options: dict[str, Any]
) -> None:
    model = MODELS["resnet20"].build(10, 3)
    reached = fitted(model, target, exclude="conv1|fc|linear", **options)
    wanted = target * size(model)
    assert wanted - max(0.005 * wanted, LEAST_STEP) <= reached <= wanted


@pytest.mark.parametrize("format", ["tucker", "tt_matrix"])
@pytest.mark.parametrize("target", [0.2, 60_000])
def test_linear_layers(format: str, target: float) -> None:
    model = nn.Sequential(nn.Embedding(500, 256), nn.Linear(256, 512), nn.LayerNorm(512), nn.Linear(512, 64))
    model.extend([nn.Linear(64, 64) for _ in range(3)])
    wanted = target * size(model) if isinstance(target, float) else target
    reached = fitted(model, target, format=format)
    assert 0.995 * wanted <= reached <= wanted


def test_tied_weights_and_attention_count_once() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(300, 64)
            self.mix = nn.MultiheadAttention(64, 4)
            self.out = nn.Linear(64, 300, bias=False)
            self.out.weight = self.table.weight

    model = Tied()
    reached = fitted(model, 0.25)
    assert 0.995 * 0.25 * size(model) <= reached <= 0.25 * size(model)


def test_where_one_step_is_larger_it_stays_below() -> None:
    model = nn.Sequential(nn.Linear(20, 10, bias=False))
    sizes = []
    for rank in range(1, 11):
        other = copy.deepcopy(model)
        rf.factorize(other, rank)
        sizes.append(size(other))
    for rank, (one, two) in enumerate(pairwise(sizes), start=1):
        for target in (one, two - 1):
            policy = rf.fit_rank(model, target)
            assert rf.Fraction(policy.share)((10, 20), (0, 1)) == (rank, rank)
            assert not policy.raised
    assert rf.fit_rank(model, sizes[-1]).share == 1.0
    assert rf.fit_rank(model, 10**9).share == 1.0


def test_what_is_refused() -> None:
    model = nn.Sequential(nn.Linear(20, 10), nn.Linear(10, 5))
    with pytest.raises(OptionError, match="which has 62 at rank 1 in every layer"):
        rf.fit_rank(model, 61)
    assert rf.fit_rank(model, 62).share > 0
    for target in (0, -1, 0.0, 1.5, True, float("nan"), "all"):
        with pytest.raises(OptionError, match="parameters must be"):
            rf.fit_rank(model, target)  # pyright: ignore[reportArgumentType]
    with pytest.raises(OptionError, match="no layer that can be factorised"):
        rf.fit_rank(nn.ReLU(), 0.5)
    with pytest.raises(OptionError, match="no layer that can be factorised"):
        rf.fit_rank(nn.Conv2d(3, 4, 3), 0.5, format="tt_matrix")
    with pytest.raises(OptionError, match="leave cores out"):
        rf.fit_rank(model, 0.5, cores=2)
    with pytest.raises(OptionError, match="fit_rank: modes must be"):
        rf.fit_rank(model, 0.5, modes="most")  # pyright: ignore[reportArgumentType]
    with pytest.raises(OptionError, match="pass cores"):
        rf.fit_rank(model, 0.5, modes=(0,), format="tt_matrix")
    with pytest.raises(SelectorError, match="matches none"):
        rf.fit_rank(model, 0.5, include="body")
    with pytest.raises(rf.RankfoldError):
        rf.fit_rank(model, 0.5, format="cp")
    with pytest.raises(OptionError):
        rf.fit_rank("model", 0.5)  # pyright: ignore[reportArgumentType]
