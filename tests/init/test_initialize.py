"""Weights of a model drawn anew, in every format."""

import math

import pytest
import torch
from tests.regularize.values import model
from torch import nn

from rankfold import OptionError, ShapeError, Tucker, factorize
from rankfold.init import INITIALIZERS, initialize
from rankfold.layers import Conv2d, Embedding, Linear, TransposedLinear, format_sites
from rankfold.regularize import GatedRank


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("form", ["tucker", "cp", "tt"])
@pytest.mark.parametrize("name", INITIALIZERS)
def test_every_weight_in_a_format_is_drawn_and_nothing_else(name: str, form: str) -> None:
    network = model(form)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    identities = [id(parameter) for parameter in network.parameters()]
    rows = initialize(network, name, generator=seeded())
    assert [row.name for row in rows] == ["0", "3"]
    for row, site in zip(rows, format_sites(network), strict=True):
        dense = site.value.to_dense().detach()
        assert row.ranks == site.value.ranks
        assert abs(row.std - float(dense.square().mean().sqrt())) <= 1e-9 * row.std
        assert 0.2 < row.std * math.sqrt(3 * dense[0].numel()) < 2
    assert [id(parameter) for parameter in network.parameters()] == identities
    after = network.state_dict()
    for key, value in before.items():
        kept = "bias" in key or key.startswith("5.") or key.endswith("ranks")
        assert torch.equal(after[key], value) == kept, key
    again = model(form)
    initialize(again, name, generator=seeded())
    for mine, other in zip(format_sites(network), format_sites(again), strict=True):
        assert torch.equal(mine.value.to_dense(), other.value.to_dense())


@pytest.mark.parametrize("name", INITIALIZERS)
def test_rescaled_to_exactly_the_deviation(name: str) -> None:
    network = model("tucker")
    for balance in (False, True):
        rows = initialize(network, name, std=0.07, rescale=True, balance=balance, generator=seeded())
        assert [round(row.std, 9) for row in rows] == [0.07, 0.07]
        value = network[3].tucker
        assert abs(float(value.to_dense().square().mean().sqrt().detach()) - 0.07) < 1e-9


def test_spectral_keeps_what_the_ranks_hold() -> None:
    """||W - U V|| is the norm of the singular values beyond the rank, of the dense weight that the seed draws."""
    layer = Linear(30, 20, rank=6, dtype=torch.float64)
    initialize(layer, "spectral", generator=seeded(3))
    bound = math.sqrt(3) * 1 / math.sqrt(90)
    dense = torch.empty(20, 30, dtype=torch.float64).uniform_(-bound, bound, generator=seeded(3))
    tail = float(torch.linalg.svdvals(dense)[6:].norm())
    assert abs(float((layer.weight.detach() - dense).norm()) - tail) <= 1e-12 * float(dense.norm())
    assert float(layer.tucker.orthonormality_defect()) < 1e-14


def test_balanced_tensors_have_gradients_of_one_size() -> None:
    layer = Linear(30, 20, rank=6)
    initialize(layer, "spectral", balance=True, generator=seeded())
    norms = [float(tensor.detach().norm()) for tensor in layer.tucker.tensors]
    assert max(norms) / min(norms) < 1 + 1e-5


def test_tables_are_normal_and_keep_their_padding() -> None:
    table = Embedding(300, 40, padding_idx=7, rank=30)
    (row,) = initialize(table, "orthonormal", generator=seeded())
    assert abs(row.std - 1) < 1e-6
    assert not table(torch.tensor([7])).any()
    layer = TransposedLinear(50, 30, rank=10)
    (row,) = initialize(layer, "orthonormal", generator=seeded())
    assert abs(row.std * math.sqrt(150) - 1) < 1e-6
    kernel = Conv2d(8, 16, 3, rank=8)
    (row,) = initialize(kernel, "orthonormal", generator=seeded())
    assert abs(row.std * math.sqrt(3 * 72) - 1) < 1e-6


def test_tied_weights_are_drawn_once() -> None:
    network = nn.ModuleDict({"table": nn.Embedding(20, 8), "head": nn.Linear(8, 20, bias=False)})
    network["head"].weight = network["table"].weight
    factorize(network, 3)
    rows = initialize(network, generator=seeded())
    assert [row.name for row in rows] == ["table"]
    assert torch.equal(network["table"].weight, network["head"].weight)


def test_refusals() -> None:
    with pytest.raises(OptionError, match="no weight of the model is in a format"):
        initialize(nn.Linear(3, 3))
    with pytest.raises(OptionError, match="initializer: got 'xavier', known are"):
        initialize(Linear(3, 3, rank=2), "xavier")
    for std in (0, -1, math.nan, math.inf, "1", True):
        with pytest.raises(OptionError, match="std must be None or a finite number over 0"):
            initialize(Linear(3, 3, rank=2), std=std)  # pyright: ignore[reportArgumentType]
    with pytest.raises(OptionError, match=r"pass the nn\.Module itself"):
        initialize({})  # pyright: ignore[reportArgumentType]
    gated = nn.Sequential(Linear(4, 4, rank=2))
    GatedRank(gated, 0.1, depth=5)
    with pytest.raises(ShapeError, match="layer '0' is computed by a parametrisation"):
        initialize(gated)
    assert isinstance(gated[0].tucker, Tucker)
