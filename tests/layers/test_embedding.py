from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor, nn

from rankfold import OptionError, layers
from rankfold.testing import TuckerLayerContract, assert_same


class TestEmbedding(TuckerLayerContract):
    layer = layers.Embedding
    options: ClassVar = {"padding_idx": (None, 0, -1), "scale_grad_by_freq": (False, True)}

    def dense(self, **options: Any) -> nn.Module:
        return nn.Embedding(20, 6, **options)

    def inputs(self) -> Tensor:
        indices = torch.randint(0, 20, (4, 9))
        indices[:, :2], indices[0, 2:5] = torch.tensor([0, 19]), 3
        return indices

    def variance(self, weight: Tensor) -> float:
        return 1.0


@pytest.mark.parametrize("norm_type", [1.0, 2.0, 3.0])
@pytest.mark.parametrize("rank", [2, 6])
def test_long_rows_are_returned_shortened(norm_type: float, rank: int) -> None:
    dense = nn.Embedding(20, 6, max_norm=1.5, norm_type=norm_type).double()
    with torch.no_grad():
        dense.weight.mul_(torch.logspace(-2, 1, 20, dtype=torch.float64)[:, None])  # short and long rows
    layer = layers.Embedding.from_dense(dense, rank=rank)
    before, indices = layer.weight.clone(), torch.arange(20)
    rows = layer(indices)
    assert torch.equal(layer.weight, before)
    for plain in (layer.dense(), layer.folded()):
        assert_same(rows, plain(indices), terms=26)
    lengths = torch.linalg.vector_norm(rows, ord=norm_type, dim=-1)
    assert lengths.max() <= 1.5
    assert (lengths < 1.49).any()


@pytest.mark.parametrize("padding_idx", [0, 7, -1])
def test_padding_row_is_zero_and_gets_no_gradient(padding_idx: int) -> None:
    layer = layers.Embedding(20, 6, padding_idx=padding_idx, rank=3, dtype=torch.float64)
    assert layer.padding_idx == padding_idx % 20
    indices = torch.arange(20)
    rows = layer(indices)
    assert not rows[padding_idx].any()
    assert rows.any(dim=1).sum() == 19
    rows.square().sum().backward()
    assert not layer.factors[0].grad[padding_idx].any()
    assert layer.tucker.orthonormality_defect() <= 4 * 20 * torch.finfo(torch.float64).eps


def test_only_the_padding_row_differs_from_a_table_without_one() -> None:
    tables = [
        layers.Embedding(
            20, 6, padding_idx=index, rank=3, generator=torch.Generator().manual_seed(5), dtype=torch.float64
        ).weight
        for index in (None, 4)
    ]
    rest = [row for row in range(20) if row != 4]
    assert_same(tables[1][rest], tables[0][rest], terms=29)


def test_padding_row_stays_zero_when_tensors_are_assigned() -> None:
    layer = layers.Embedding(20, 6, padding_idx=4, rank=3)
    layer.assign(layers.Embedding(20, 6, rank=2).tucker)
    assert layer.ranks == (2, 2)
    assert not layer.weight[4].any()
    assert layer.weight.any(dim=1).sum() == 19


def test_an_only_padding_input() -> None:
    layer = layers.Embedding(20, 6, padding_idx=4, scale_grad_by_freq=True, rank=3)
    layer(torch.full((2, 3), 4)).sum().backward()
    assert not layer.core.grad.any()


def test_sparse_gradients_are_refused() -> None:
    with pytest.raises(OptionError, match="sparse must be False"):
        layers.Embedding(20, 6, sparse=True, rank=3)


@pytest.mark.parametrize("padding_idx", [20, -21])
def test_padding_row_out_of_range(padding_idx: int) -> None:
    with pytest.raises(OptionError, match=r"-20\.\.19"):
        layers.Embedding(20, 6, padding_idx=padding_idx, rank=3)
