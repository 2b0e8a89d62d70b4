"""The scale of a shallow network, shared by its layers at a fixed product."""

import math

import pytest
import torch
from torch import Tensor, nn

from rankfold import OptionError
from rankfold.init import initialize_two_layers
from rankfold.layers import Linear


def layers(factorised: bool = False) -> tuple[nn.Module, nn.Module]:
    kind, rank = (Linear, {"rank": 40}) if factorised else (nn.Linear, {})
    return kind(784, 1000, **rank), kind(1000, 200, **rank)


@pytest.mark.parametrize("factorised", [False, True])
@pytest.mark.parametrize("ratio", [0.05, 0.5, 1.0, 3.0])
def test_the_product_is_that_of_he(ratio: float, factorised: bool) -> None:
    first, second = layers(factorised)
    stds = initialize_two_layers(first, second, ratio, generator=torch.Generator().manual_seed(0))
    he = math.sqrt(2 / 784), math.sqrt(2 / 1000)
    assert stds == pytest.approx((he[0] / ratio, he[1] * ratio))
    assert math.prod(stds) == pytest.approx(math.prod(he))
    for layer, std in zip((first, second), stds, strict=True):
        weight, bias = layer.weight, layer.bias
        assert isinstance(weight, Tensor)
        assert isinstance(bias, Tensor)
        assert abs(float(weight.detach().square().mean().sqrt()) / std - 1) < 0.01
        assert not bias.any()


def test_seeds() -> None:
    drawn = []
    for seed in (0, 0, 1):
        first, second = layers()
        initialize_two_layers(first, second, generator=torch.Generator().manual_seed(seed))
        drawn.append(second.weight)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_refusals() -> None:
    for ratio in (0, -1, math.nan, math.inf, "1", True):
        with pytest.raises(OptionError, match="ratio must be a finite number over 0"):
            initialize_two_layers(*layers(), ratio)  # pyright: ignore[reportArgumentType]
    with pytest.raises(OptionError, match="entry 1 of layers is a ReLU"):
        initialize_two_layers(nn.Linear(3, 3), nn.ReLU())
    tied = nn.Linear(3, 3)
    with pytest.raises(OptionError, match="shares its weight"):
        initialize_two_layers(tied, tied)
