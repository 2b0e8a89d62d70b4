import pytest
import torch
from torch import nn
from torch.nn.utils import parametrize

from rankfold import OptionError, ShapeError
from rankfold.layers import HadamardWeight, hadamard_weights


@pytest.mark.parametrize("depth", [2, 3, 4, 7])
def test_the_split_is_even_and_exact(depth: int) -> None:
    weight = torch.randn(5, 4, dtype=torch.float64)
    weight[0, 0], weight[1, 1] = 0.0, -1e-30
    factors = HadamardWeight(depth).right_inverse(weight)
    assert len(factors) == depth
    torch.testing.assert_close(HadamardWeight(depth)(*factors), weight, rtol=1e-14, atol=0)
    for factor in factors:
        assert torch.equal(factor.abs(), factors[0].abs())
    assert all(bool((factor >= 0).all()) for factor in factors[1:])


def test_found_in_a_model() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    parametrize.register_parametrization(model[1], "weight", HadamardWeight(3))
    ((name, layer, factors),) = hadamard_weights(model)
    assert (name, layer, len(factors)) == ("1", model[1], 3)
    assert all(isinstance(factor, nn.Parameter) for factor in factors)
    assert "HadamardWeight(depth=3)" in repr(model)


@pytest.mark.parametrize("depth", [1, 0, -2, 2.0, True, "3"])
def test_depths_that_are_none(depth: object) -> None:
    with pytest.raises(OptionError, match="whole number of 2 or more"):
        HadamardWeight(depth)  # pyright: ignore[reportArgumentType]


def test_weights_without_such_factors() -> None:
    with pytest.raises(ShapeError, match="only floating-point"):
        HadamardWeight(2).right_inverse(torch.ones(2, 2, dtype=torch.int64))
