"""The convolutions keep the contract of layers over every pair of their options."""

from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from rankfold import layers
from rankfold.formats import full_ranks
from rankfold.testing import TuckerLayerContract, assert_same

COMMON = {
    "stride": (1, 2),
    "padding": (0, 2, "same", "valid"),
    "dilation": (1, 2),
    "groups": (1, 2, 4),
    "bias": (True, False),
    "padding_mode": ("zeros", "reflect", "replicate", "circular"),
}


class ConvContract(TuckerLayerContract):
    dimension: int

    def dense(self, **options: Any) -> nn.Module:
        return self.layer.dense_class(8, 12, 3, **options)

    def inputs(self) -> Tensor:
        return torch.randn(2, 8, *(6,) * self.dimension)

    def allowed(self, case: dict[str, Any]) -> bool:
        return case["stride"] == 1 or case["padding"] != "same"


class TestConv1d(ConvContract):
    layer, dimension = layers.Conv1d, 1
    options: ClassVar = {**COMMON, "modes": ((0, 1), (0,), (1,), (2,), (0, 1, 2))}


class TestConv2d(ConvContract):
    layer, dimension = layers.Conv2d, 2
    options: ClassVar = {**COMMON, "modes": ((0, 1), (0,), (1,), (0, 3), (0, 1, 2, 3))}


class TestConv3d(ConvContract):
    layer, dimension = layers.Conv3d, 3
    options: ClassVar = {**COMMON, "modes": ((0, 1), (0,), (1,), (2, 4), (0, 1, 2, 3, 4))}


class TestConvTranspose2d(TuckerLayerContract):
    layer = layers.ConvTranspose2d
    options: ClassVar = {
        "stride": (1, 2, 3),
        "padding": (0, 1),
        "output_padding": (0, 1),
        "groups": (1, 2, 4),
        "bias": (True, False),
        "dilation": (1, 2),
        "modes": ((0, 1), (0,), (1,), (2, 3), (0, 1, 2, 3)),
    }

    def dense(self, **options: Any) -> nn.Module:
        return nn.ConvTranspose2d(8, 12, 3, **options)

    def inputs(self) -> Tensor:
        return torch.randn(2, 8, 5, 4)

    def allowed(self, case: dict[str, Any]) -> bool:
        return case["output_padding"] < max(case["stride"], case["dilation"])


@pytest.mark.parametrize("size", [(15, 12), (16, 14), (17, 13)])
def test_transposed_convolution_to_a_given_size(size: tuple[int, int]) -> None:
    dense = nn.ConvTranspose2d(4, 6, 3, stride=3).double()
    layer = layers.ConvTranspose2d.from_dense(dense, rank=full_ranks)
    inputs = torch.randn(2, 4, 5, 4, dtype=torch.float64)
    output = layer(inputs, output_size=size)
    assert output.shape[2:] == size
    assert_same(output, dense(inputs, output_size=size), terms=dense.weight.numel())


@pytest.mark.parametrize("size", [(14, 12), (15, 15)])
def test_transposed_convolution_to_an_impossible_size(size: tuple[int, int]) -> None:
    layer = layers.ConvTranspose2d(4, 6, 3, stride=3, rank=2)
    with pytest.raises(ValueError, match="requested an output size"):
        layer(torch.zeros(2, 4, 5, 4), output_size=size)


@pytest.mark.parametrize("dimension", [1, 2, 3])
def test_inputs_without_a_batch(dimension: int) -> None:
    layer = [layers.Conv1d, layers.Conv2d, layers.Conv3d][dimension - 1](4, 6, 3, rank=2, dtype=torch.float64)
    inputs = torch.randn(4, *(5,) * dimension, dtype=torch.float64)
    assert_same(layer(inputs), layer(inputs[None])[0], terms=4 * 3**dimension)


def test_arguments_as_tuples() -> None:
    arguments: dict[str, Any] = {"stride": (2, 1), "padding": (1, 0), "dilation": (1, 2)}
    dense = nn.Conv2d(4, 6, (3, 2), **arguments).double()
    layer = layers.Conv2d.from_dense(dense, rank=full_ranks)
    inputs = torch.randn(2, 4, 7, 6, dtype=torch.float64)
    assert_same(layer(inputs), dense(inputs), terms=dense.weight.numel())
    fresh = layers.Conv2d(4, 6, (3, 2), **arguments, rank=3)
    assert fresh(inputs.float()).shape == dense(inputs).shape
