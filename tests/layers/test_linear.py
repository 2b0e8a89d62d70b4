from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from rankfold import RankError, layers
from rankfold.testing import TuckerLayerContract, assert_same


class TestLinear(TuckerLayerContract):
    layer = layers.Linear
    options: ClassVar = {"bias": (True, False)}

    def dense(self, **options: Any) -> nn.Module:
        return nn.Linear(10, 7, **options)

    def inputs(self) -> Tensor:
        return torch.randn(5, 10)


class TestTallLinearOnSequences(TestLinear):
    def dense(self, **options: Any) -> nn.Module:
        return nn.Linear(4, 30, **options)

    def inputs(self) -> Tensor:
        return torch.randn(2, 3, 5, 4)


def test_one_vector_without_a_batch() -> None:
    layer = layers.Linear(4, 5, rank=2, dtype=torch.float64)
    vector = torch.randn(4, dtype=torch.float64)
    assert_same(layer(vector), layer(vector[None])[0], terms=4)


@pytest.mark.parametrize("rank", [0, 6, (2, 6), (2,), True])
def test_ranks_out_of_range(rank: object) -> None:
    with pytest.raises(RankError, match="Linear"):
        layers.Linear(8, 5, rank=rank)


def test_a_policy_gives_the_ranks() -> None:
    assert layers.Linear(8, 5, rank=lambda shape, modes: (shape[0] - 1, len(modes))).ranks == (4, 2)
