from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from rankfold import OptionError, layers
from rankfold.formats import full_bonds
from rankfold.testing import LayerContract, assert_same


class TestTTMatrixEmbedding(LayerContract):
    layer = layers.TTMatrixEmbedding
    full_rank = staticmethod(full_bonds)
    options: ClassVar = {"scale_grad_by_freq": (False, True)}

    def largest_rank(self, layer: Any) -> int:
        return max(full_bonds(layer.out_sizes, layer.in_sizes))

    def dense(self, **options: Any) -> nn.Module:
        return nn.Embedding(20, 6, **options)

    def inputs(self) -> Tensor:
        indices = torch.randint(0, 20, (4, 9))
        indices[:, :2], indices[0, 2:5] = torch.tensor([0, 19]), 3
        return indices

    def variance(self, weight: Tensor) -> float:
        return 1.0


def test_every_row() -> None:
    layer = layers.TTMatrixEmbedding(
        30, 12, rank=4, out_sizes=(2, 5, 3), in_sizes=(3, 2, 2), dtype=torch.float64
    )
    rows, everything = layer(torch.arange(30)), layer.weight
    assert_same(rows, everything, terms=20)
    assert layer(torch.tensor(7)).shape == (12,)
    assert layer(torch.empty(2, 0, dtype=torch.long)).shape == (2, 0, 12)


@pytest.mark.parametrize("entry", [30, 31, 1000, -1])
def test_entries_out_of_range(entry: int) -> None:
    layer = layers.TTMatrixEmbedding(30, 12, rank=4)
    with pytest.raises((IndexError, RuntimeError), match="out of range"):
        layer(torch.tensor([3, entry]))


@pytest.mark.parametrize("norm_type", [1.0, 2.0])
def test_long_rows_are_returned_shortened(norm_type: float) -> None:
    dense = nn.Embedding(20, 6, max_norm=1.5, norm_type=norm_type).double()
    layer = layers.TTMatrixEmbedding.from_dense(dense, rank=3)
    before, indices = layer.weight.clone(), torch.arange(20)
    rows = layer(indices)
    assert torch.equal(layer.weight, before)
    for plain in (layer.dense(), layer.folded()):
        assert_same(rows, plain(indices), terms=26)
    assert torch.linalg.vector_norm(rows, ord=norm_type, dim=-1).max() <= 1.5


def test_sparse_gradients_are_refused() -> None:
    with pytest.raises(OptionError, match="sparse must be False"):
        layers.TTMatrixEmbedding(20, 6, sparse=True, rank=3)
