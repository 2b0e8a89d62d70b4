"""One central core for many layers: what is shared, what it computes, and what everything else makes of it."""

import copy
import pickle
from math import prod
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

import rankfold as rf
from rankfold import NonFiniteError, OptionError, ShapeError
from rankfold.formats import core_shapes, full_bonds
from rankfold.init import initialize
from rankfold.layers import TTMatrixLinear
from rankfold.regularize import FrobeniusDecay, GatedRank, latent_dropout
from rankfold.sharing import share_cores, shared_cores, unshare_cores
from rankfold.testing import assert_same

SIZES: dict[str, Any] = {"out_sizes": (2, 2, 4, 2, 2), "in_sizes": (2, 2, 4, 2, 2)}


def network(depth: int = 4, *, equal: bool = True) -> nn.Sequential:
    torch.manual_seed(0)
    layers = [nn.Linear(64, 64, dtype=torch.float64) for _ in range(depth)]
    for layer in layers[1:] if equal else []:
        layer.weight.data.copy_(layers[0].weight)
    pairs = [module for layer in layers for module in (layer, nn.Tanh())]
    return nn.Sequential(*pairs, nn.Linear(64, 3, dtype=torch.float64))


def shared_network(depth: int = 4) -> nn.Sequential:
    model = network(depth)
    share_cores(model, names(depth), **SIZES)
    return model


def names(depth: int = 4) -> list[str]:
    return [str(2 * number) for number in range(depth)]


def inputs() -> Tensor:
    return torch.randn(9, 64, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def core_of(model: nn.Module, name: str) -> Tensor:
    return model.get_parameter(f"{name}.core_2")


# -- what it is ------------------------------------------------------------------------------------------


def test_equal_layers_compute_what_they_did() -> None:
    model = network()
    expected = model(inputs())
    biases = [model[2 * number].bias for number in range(4)]
    shared = share_cores(model, names(), **SIZES)
    assert_same(model(inputs()), expected, terms=1000)
    assert shared.errors == (0.0, 0.0, 0.0, 0.0)
    assert [model[2 * number].bias for number in range(4)] == biases
    assert len({id(core_of(model, name)) for name in names()}) == 1
    assert len({id(model.get_parameter(f"{name}.core_1")) for name in names()}) == 4
    assert shared_cores(model)[0].names == tuple(names())


def test_parameters() -> None:
    """Side cores 544 and a central core of 4096 numbers for a matrix of 64 x 64 in five factors."""
    for depth in (2, 6):
        shared = share_cores(network(depth), names(depth), **SIZES)
        assert shared.parameters == 4096 + 544 * depth
        assert shared.parameters_unshared == (4096 + 544) * depth
        assert shared.parameters_dense == 4096 * depth
        assert shared.core == 2
    # Shares of the dense weights of 24 and 48 layers in related work's sizes.
    sizes = (4, 4, 4, 4, 4)
    *_, central, _, _ = counts = [
        prod(shape) for shape in core_shapes(sizes, sizes, full_bonds(sizes, sizes))
    ]
    sides = sum(counts) - central
    assert (central, sides) == (1024 * 1024, 131_584)
    assert [round((central + depth * sides) / (depth * central), 3) for depth in (24, 48)] == [0.167, 0.146]


def test_layers_that_differ_take_the_core_of_the_first() -> None:
    model = network(equal=False)
    weights = [model[2 * number].weight.detach().clone() for number in range(4)]
    shared = share_cores(model, names(), **SIZES)
    assert shared.errors is not None
    assert shared.errors[0] == 0.0
    assert all(error > 0.1 for error in shared.errors[1:])
    for number, error in enumerate(shared.errors):
        moved = float((model[2 * number].weight.detach() - weights[number]).norm() / weights[number].norm())
        assert moved == pytest.approx(error, abs=1e-12)


def test_layers_over_tt_matrices_stay_what_they_are() -> None:
    model = nn.Sequential(*(TTMatrixLinear(12, 12, rank=3, cores=4) for _ in range(3)), nn.Linear(12, 12))
    parts = dict(model.named_parameters())
    shared = share_cores(model, ["0", "2"], core=1)
    assert shared.core == 1
    kept = dict(model.named_parameters(remove_duplicate=False))
    assert kept["2.core_1"] is parts["0.core_1"]
    assert all(kept[name] is part for name, part in parts.items() if name != "2.core_1")


def test_zero_matrices() -> None:
    model = network()
    for number in range(4):
        model[2 * number].weight.data.zero_()
    share_cores(model, names(), **SIZES)
    model(inputs()).sum().backward()
    for parameter in model.parameters():
        assert bool(parameter.isfinite().all())
        assert parameter.grad is not None
        assert bool(parameter.grad.isfinite().all())
    assert not any(bool(model[2 * number].weight.any()) for number in range(4))


def test_two_groups() -> None:
    model = network()
    share_cores(model, ["0", "2"], **SIZES)
    share_cores(model, ["4", "6"], **SIZES)
    assert [group.names for group in shared_cores(model)] == [("0", "2"), ("4", "6")]


# -- how it trains ---------------------------------------------------------------------------------------


def test_the_gradient_is_the_sum_over_the_layers() -> None:
    model = shared_network()
    apart = copy.deepcopy(model)
    assert unshare_cores(apart) == ("2", "4", "6")
    assert shared_cores(apart) == ()
    assert torch.equal(apart(inputs()), model(inputs()))
    for one in (model, apart):
        one(inputs()).square().sum().backward()
    gradients = [core_of(apart, name).grad for name in names()]
    assert all(gradient is not None for gradient in gradients)
    shared = core_of(model, "0").grad
    assert shared is not None
    assert_same(shared, torch.stack([g for g in gradients if g is not None]).sum(0), terms=1000)


def test_tdlrt_trains_it_by_its_inner_optimiser() -> None:
    model = shared_network()
    rf.factorize(model, 2, include="8")
    optimizer = rf.TDLRT(model, torch.optim.SGD, lr=0.05, momentum=0.9, core_steps=2)
    targets, before = torch.arange(9) % 3, core_of(model, "0").detach().clone()
    losses = []
    for _ in range(12):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs()), targets)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
    assert len({id(core_of(model, name)) for name in names()}) == 1
    assert not torch.equal(core_of(model, "0"), before)


def test_regularisers() -> None:
    model = shared_network()
    decay = FrobeniusDecay(model, 0.5)
    expected = 0.25 * sum(model[2 * number].weight.square().sum() for number in range(4))
    assert_same(decay.penalty(), expected, terms=5000)
    decay.penalty().backward()
    wanted = {
        name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None
    }
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    decay.add_gradients()
    for name, gradient in wanted.items():
        found = model.get_parameter(name).grad
        assert found is not None
        assert_same(found, gradient, terms=5000)
    latent_dropout(model, 0.2)
    assert bool(model(inputs()).isfinite().all())
    with pytest.raises(OptionError, match="share one weight"):
        GatedRank(model, 0.1)
    with pytest.raises(OptionError, match="'0' and '2' share a core"):
        initialize(model)


# -- copies, files, plain layers -------------------------------------------------------------------------


def test_copies_share_among_themselves() -> None:
    model = shared_network()
    expected = model(inputs())
    for other in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert len({id(core_of(other, name)) for name in names()}) == 1
        assert core_of(other, "0") is not core_of(model, "0")
        assert torch.equal(other(inputs()), expected)
    other = copy.deepcopy(model).to(torch.float32)
    assert len({id(core_of(other, name)) for name in names()}) == 1
    torch.testing.assert_close(other(inputs().float()).double(), expected, rtol=1e-4, atol=1e-5)
    assert_same(rf.fold(model)(inputs()), expected, terms=1000)
    assert_same(rf.densify(model)(inputs()), expected, terms=1000)
    assert len(shared_cores(model)) == 1


def test_a_file_holds_it_once(tmp_path: Path) -> None:
    model = shared_network()
    with torch.no_grad():
        core_of(model, "0").mul_(1.5)
    rf.save(model, tmp_path / "net.safetensors")
    with safe_open(tmp_path / "net.safetensors", "pt") as file:
        assert sum(name.endswith("core_2") for name in file.keys()) == 1  # noqa: SIM118
    again = shared_network()
    rf.load(again, tmp_path / "net.safetensors")
    assert torch.equal(again(inputs()), model(inputs()))
    assert len({id(core_of(again, name)) for name in names()}) == 1
    dense = network(equal=False)
    rf.load(dense, tmp_path / "net.safetensors")
    assert torch.equal(dense(inputs()), model(inputs()))
    assert shared_cores(dense) == ()
    assert share_cores(dense, names()).errors == (0.0, 0.0, 0.0, 0.0)
    other = shared_network()
    other.load_state_dict(model.state_dict())
    assert torch.equal(other(inputs()), model(inputs()))


# -- what is refused -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "options", "message"),
    [
        (["0"], {}, "pass the names of two layers or more"),
        ("02", {}, "pass the names of two layers or more"),
        (None, {}, "pass the names of two layers or more"),
        (["0", "2", "0"], {}, "'0' is named twice"),
        (["0", "1"], {}, "'1' is a Tanh"),
        (["0", "<script>"], {}, "'<script>' is missing"),
        (["0", ""], {}, "'' is a Sequential"),
        (["0", "2"], {"core": 0}, r"core must be a whole number in 1..2, got 0"),
        (["0", "2"], {"core": True}, "core must be a whole number"),
    ],
)
def test_options_that_are_none(given: Any, options: dict[str, Any], message: str) -> None:
    model = network()
    before = dict(model.named_parameters())
    with pytest.raises(OptionError, match=message):
        share_cores(model, given, **options)
    assert dict(model.named_parameters()) == before


def test_layers_that_cannot_share() -> None:
    model = network()
    with pytest.raises(ShapeError, match="share in several calls"):
        share_cores(model, ["0", "8"])
    share_cores(model, ["0", "2"], **SIZES)
    with pytest.raises(OptionError, match=r"'2' shares its weight with '0'.*unshare_cores"):
        share_cores(model, ["4", "2"], **SIZES)
    tied = network()
    tied[2].weight = tied[0].weight
    with pytest.raises(OptionError, match="shares its weight with"):
        share_cores(tied, ["0", "4"])
    broken = network()
    broken[2].weight.data[0, 0] = float("nan")
    with pytest.raises(NonFiniteError, match="layer '2' holds NaN"):
        share_cores(broken, ["0", "2"])
    assert type(broken[0]) is nn.Linear
    primes = nn.Sequential(nn.Linear(7, 7), nn.Linear(7, 7))
    share_cores(primes, ["0", "1"])  # a core of one number is shared
    gated = nn.Sequential(*(TTMatrixLinear(8, 8, rank=2) for _ in range(2)))
    GatedRank(gated, 0.1, depth=5)
    with pytest.raises(OptionError, match="collapse it first"):
        share_cores(gated, ["0", "1"])
    with pytest.raises(OptionError, match="share_cores"):
        share_cores("model", ["0", "1"])  # pyright: ignore[reportArgumentType]
