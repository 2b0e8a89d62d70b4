"""Counting parameters and operations, and choosing ranks for a budget."""

import pytest
import torch
from benchmarks._costs import (
    conv_flops,
    largest_rank,
    lower_bound,
    tucker_conv_flops,
    tucker_conv_parameters,
)
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from rankfold.layers import Conv2d


@pytest.mark.parametrize("channels", [64, 128, 256, 512])
@pytest.mark.parametrize("compression", [2, 5, 10, 20])
def test_the_rank_is_the_largest_within_the_budget(channels, compression):
    budget = 9 * channels**2 / compression
    rank = largest_rank(lambda r: tucker_conv_parameters(channels, r), budget)
    assert tucker_conv_parameters(channels, rank) <= budget < tucker_conv_parameters(channels, rank + 1)


def test_parameters_are_those_of_the_layer():
    layer = Conv2d(16, 16, 3, padding=1, bias=False, rank=5)
    assert tucker_conv_parameters(16, 5) == sum(parameter.numel() for parameter in layer.parameters())


def test_operations_are_those_that_torch_counts():
    chain = nn.Sequential(nn.Conv2d(8, 3, 1), nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 8, 1))
    x = torch.zeros(2, 8, 5, 5)
    for module, expected in (
        (chain, tucker_conv_flops(8, 3, 50)),
        (nn.Conv2d(8, 8, 3, padding=1), conv_flops(8, 50)),
    ):
        with FlopCounterMode(display=False) as counter:
            module(x)
        assert counter.get_total_flops() == expected


def test_the_ratio_of_b3_is_that_of_the_design():
    assert conv_flops(256, 1) / tucker_conv_flops(256, 64, 1) == pytest.approx(8.47, abs=0.005)


def test_the_bound_is_the_larger_of_arithmetic_and_memory():
    assert lower_bound(6e9, 3e9, 2, 0.5) == 2.0
    assert lower_bound(6e9, 3e9, 2, 1.5) == 3.0
