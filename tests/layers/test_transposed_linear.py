from typing import Any, ClassVar

import torch
from tests.convert.models import Conv1D
from torch import Tensor, nn

from rankfold import layers
from rankfold.testing import TuckerLayerContract, assert_same


class SizedConv1D(Conv1D):
    """With its sizes under the names that the contract looks for."""

    def __init__(self, nf: int, nx: int) -> None:
        super().__init__(nf, nx)
        self.in_features, self.out_features = nx, nf
        nn.init.uniform_(self.weight, -(nx**-0.5), nx**-0.5)


class TestTransposedLinear(TuckerLayerContract):
    layer = layers.TransposedLinear
    options: ClassVar = {}

    def dense(self, **options: Any) -> nn.Module:
        return SizedConv1D(7, 10)

    def inputs(self) -> Tensor:
        return torch.randn(5, 10)

    def variance(self, weight: Tensor) -> float:
        return 1 / (3 * weight.shape[0])


class TestTallTransposedLinearOnSequences(TestTransposedLinear):
    def dense(self, **options: Any) -> nn.Module:
        return SizedConv1D(30, 4)

    def inputs(self) -> Tensor:
        return torch.randn(2, 15, 4)


def test_built_by_hand_it_gives_a_linear_layer() -> None:
    layer = layers.TransposedLinear(6, 9, bias=False, rank=3, dtype=torch.float64)
    dense, inputs = layer.dense(), torch.randn(4, 6, dtype=torch.float64)
    assert type(dense) is nn.Linear
    assert (dense.in_features, dense.out_features, dense.bias) == (6, 9, None)
    assert_same(dense(inputs), layer(inputs), terms=60)
