"""Weights of plain layers in any format, and the one view of all places where a weight is in a format."""

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from rankfold import CP, TT, OptionError, ShapeError, Tucker, factorize, load, save
from rankfold.formats import Format
from rankfold.layers import FormatWeight, Linear, SplitAttention, format_sites, kernel_matrix, write_weight
from rankfold.testing import assert_same


def random_cp(shape: tuple[int, ...], rank: int) -> CP:
    return CP(torch.randn(rank).double(), tuple(torch.randn(n, rank).double() for n in shape))


def layers() -> dict[str, tuple[nn.Module, Format, Tensor]]:
    """A layer, a value for its weight, and inputs; all float64."""
    torch.manual_seed(0)
    conv, linear, table = nn.Conv2d(4, 6, 3).double(), nn.Linear(7, 5).double(), nn.Embedding(9, 4).double()
    images, rows = torch.randn(2, 4, 6, 5).double(), torch.randn(3, 7).double()
    kernel = conv.weight.detach()
    return {
        "tt of a kernel": (conv, TT.from_dense(kernel, ranks=2), images),
        "cp of a kernel": (copy.deepcopy(conv), random_cp((6, 4, 3, 3), 3), images),
        "tucker of a kernel": (copy.deepcopy(conv), Tucker.from_dense(kernel, ranks=2, modes=(0, 2)), images),
        "tt of the separable matrix": (
            copy.deepcopy(conv),
            TT.from_dense(kernel_matrix(kernel), ranks=3),
            images,
        ),
        "cp of a matrix": (linear, random_cp((5, 7), 2), rows),
        "tt of a table": (table, TT.from_dense(table.weight.detach(), ranks=2), torch.tensor([[1, 8]])),
    }


@pytest.mark.parametrize("name", layers())
def test_computes_with_the_value(name: str) -> None:
    layer, value, inputs = layers()[name]
    plain = copy.deepcopy(layer)
    assert write_weight(layer, value) is layer
    dense = value.to_dense()
    if dense.shape != plain.weight.shape:
        dense = dense.reshape(6, 3, 4, 3).permute(0, 2, 1, 3)
    plain.weight.data = dense.contiguous()
    assert_same(layer(inputs), plain(inputs), terms=200)
    layer(inputs).sum().backward()
    plain(inputs).sum().backward()
    (site,) = format_sites(layer)
    assert all(torch.equal(mine, own) for mine, own in zip(site.value.tensors, value.tensors, strict=True))
    expected = value._rebuilt([tensor.clone().requires_grad_() for tensor in value.tensors])
    kernel = (
        expected.to_dense().reshape(6, 3, 4, 3).permute(0, 2, 1, 3)
        if "separable" in name
        else expected.to_dense()
    )
    kernel.backward(plain.weight.grad)
    for parameter, tensor in zip(site.parameters, expected.tensors, strict=True):
        assert parameter.grad is not None
        assert tensor.grad is not None
        assert_same(parameter.grad, tensor.grad, terms=200)


@pytest.mark.parametrize("name", layers())
def test_copies_pickles_and_state(name: str, tmp_path: Any) -> None:
    layer, value, inputs = layers()[name]
    model = nn.Sequential(write_weight(layer, value))
    expected = model(inputs)
    assert torch.equal(copy.deepcopy(model)(inputs), expected)
    again, _, _ = layers()[name]
    again = nn.Sequential(write_weight(again, value._rebuilt([torch.zeros_like(t) for t in value.tensors])))
    again.load_state_dict(model.state_dict())
    assert torch.equal(again(inputs), expected)
    save(model, tmp_path / "net.safetensors")
    for parameter in again.parameters():
        parameter.data.zero_()
    load(again, tmp_path / "net.safetensors")
    assert torch.equal(again(inputs), expected)


def test_assigning_other_ranks_keeps_the_parameters() -> None:
    model = nn.Sequential(Linear(8, 6, rank=4), nn.Linear(6, 5), nn.Linear(5, 6))
    write_weight(model[1], TT.from_dense(model[1].weight.detach(), ranks=4))
    write_weight(model[2], random_cp((6, 5), 4).to(dtype=torch.float32))
    for site in format_sites(model):
        before = site.parameters
        smaller = site.value.truncate(ranks=2)
        site.assign(smaller.to(dtype=torch.float64))
        assert all(mine is own for mine, own in zip(site.parameters, before, strict=True))
        assert site.value.ranks == smaller.ranks
        assert site.value.dtype == torch.float32
        model(torch.randn(3, 8)).sum().backward()
        assert all(p.grad is not None and p.grad.shape == p.shape for p in site.parameters)


def test_the_dense_layer_comes_back() -> None:
    layer = nn.Linear(7, 5)
    value = TT.from_dense(layer.weight.detach(), ranks=3)
    write_weight(layer, value)
    parametrize.remove_parametrizations(layer, "weight")
    assert type(layer) is nn.Linear
    assert_same(layer.weight, value.to_dense(), terms=10)


def test_sites_of_a_model() -> None:
    model = nn.ModuleDict(
        {
            "plain": nn.Linear(4, 4),
            "attention": SplitAttention(nn.MultiheadAttention(8, 2)),
            "table": nn.Embedding(10, 4),
            "head": nn.Linear(4, 10, bias=False),
        }
    )
    model["head"].weight = model["table"].weight
    factorize(model, 2, include=["attention.q_proj", "table", "head"])
    write_weight(model["plain"], random_cp((4, 4), 2).to(dtype=torch.float32))
    sites = {site.name: site for site in format_sites(model)}
    assert list(sites) == ["plain", "attention.q_proj", "table"]  # the head shares the table
    assert [type(site.value) for site in sites.values()] == [CP, Tucker, Tucker]
    assert [len(site.parameters) for site in sites.values()] == [3, 3, 3]


def test_what_does_not_fit() -> None:
    layer, value = nn.Linear(7, 5), TT.from_dense(torch.randn(5, 7), ranks=2)
    with pytest.raises(OptionError, match="ReLU has no parameter 'weight' of its own"):
        write_weight(nn.ReLU(), value)
    with pytest.raises(OptionError, match="value is a Parameter; pass a Tucker, CP or TT"):
        write_weight(layer, layer.weight)  # pyright: ignore[reportArgumentType]
    for wrong in (
        TT.from_dense(torch.randn(7, 5), ranks=2),
        value.to(dtype=torch.float64),
        value.to(device="meta"),
    ):
        with pytest.raises(ShapeError, match="must agree"):
            write_weight(layer, wrong)
    assert type(layer) is nn.Linear
    write_weight(layer, value)
    with pytest.raises(OptionError, match="Linear has no parameter 'weight'"):
        write_weight(layer, value)
    with pytest.raises(OptionError, match="cannot be assigned as a dense tensor"):
        layer.weight = torch.zeros(5, 7)
    (site,) = format_sites(layer)
    for wrong in (random_cp((5, 7), 2), TT.from_dense(torch.randn(5, 8), ranks=2)):
        with pytest.raises(ShapeError, match=r"layer '': .*format and shape must agree"):
            site.assign(wrong)


def test_prints_what_it_is() -> None:
    layer = write_weight(nn.Linear(7, 5), TT.from_dense(torch.randn(5, 7), ranks=2))
    assert "FormatWeight(TT(shape=(5, 7), ranks=(2,)))" in repr(layer)
    assert isinstance(layer.parametrizations["weight"][0], FormatWeight)
