"""Gates select exact ranks with ordinary optimisers; what they leave is an ordinary layer."""

import copy
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tests.regularize.training import loss, train
from tests.regularize.values import batch, model, values
from torch import Tensor, nn

import rankfold as rf
from rankfold import CP, TDLRT, TT, NonFiniteError, OptimizerError, OptionError, Tucker
from rankfold.formats import Format
from rankfold.layers import Conv2d, Embedding, Linear, format_sites, write_weight
from rankfold.regularize import FrobeniusDecay, GatedRank, decay_groups


def numerical_rank(matrix: Tensor) -> int:
    spectrum = torch.linalg.svdvals(matrix.detach())
    return int((spectrum > 1e-6 * spectrum[0]).sum())


def noisy_rank_two(seed: int) -> tuple[Tensor, Tensor]:
    """A 20 x 15 matrix of rank 2 and norm 10, and the same with noise of 15 % of it."""
    generator = torch.Generator().manual_seed(seed)
    clean = torch.randn(20, 2, generator=generator) @ torch.randn(2, 15, generator=generator)
    noise = torch.randn(20, 15, generator=generator)
    clean, noise = (10 * part / part.norm() for part in (clean.double(), noise.double()))
    return clean, clean + 0.15 * noise


def start(form: str, seed: int) -> nn.Module:
    """A linear layer of rank 10 in a format."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    if form == "tucker":
        layer: nn.Module = Linear(15, 20, bias=False, rank=10, dtype=torch.float64)
        core = normal(10, 10) / 2
        layer.assign(Tucker(core, tuple(torch.linalg.qr(normal(n, 10)).Q for n in (20, 15))))
        return layer
    layer = nn.Linear(15, 20, bias=False, dtype=torch.float64)
    if form == "cp":
        value: Format = CP(torch.ones(10, dtype=torch.float64), (normal(20, 10) / 2, normal(15, 10) / 2))
    else:
        value = TT((normal(1, 20, 10) / 2, normal(10, 15, 1) / 2))
    return write_weight(layer, value)


def recover(
    form: str, strength: float, depth: int, seed: int = 0, optimizer: str = "SGD", rate: float = 0.03
) -> tuple[nn.Module, float]:
    clean, noisy = noisy_rank_two(seed)
    layer = start(form, seed)
    gated = GatedRank(layer, strength, depth=depth)
    own = getattr(torch.optim, optimizer)(layer.parameters(), lr=rate)
    for _ in range(round(24 / rate)):  # what vanishes does so by exp(-2 strength lr) a step: here to e^-29
        own.zero_grad()
        (0.5 * (layer.weight - noisy).square().sum() + gated.penalty()).backward()
        own.step()
    return layer, float((layer.weight.detach() - clean).norm() / clean.norm())


# -- selection -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["tucker", "cp", "tt", "tt_matrix"])
def test_depth_three_leaves_exactly_rank_two(form: str) -> None:
    layer, error = recover(form, 0.6, 3)
    assert numerical_rank(layer.weight) == 2
    (site,) = format_sites(layer)
    assert GatedRank(start(form, 0), 0.5).depths == {"": 3}
    before = layer.weight.detach()
    assert error < 0.08  # of the noisy matrix itself it is 0.15
    rows = gates_of(layer).collapse(1e-6)
    assert rows[0].ranks == site.value.ranks
    assert set(site.value.ranks) == {2}
    assert rows[0].error < 1e-6
    torch.testing.assert_close(layer.weight.detach(), before, rtol=0, atol=1e-5)


def gates_of(layer: nn.Module) -> GatedRank:
    """A handle on gates that are there already, as a script that forgot its own would need it."""
    handle = GatedRank.__new__(GatedRank)
    handle.balanced = False
    handle._sites = list(format_sites(layer))
    return handle


def test_depth_two_leaves_more_ranks_and_a_larger_error() -> None:
    """Plain weight decay on U and V is the nuclear norm, which shrinks the signal before it cuts the noise."""
    decayed, error = recover("tt", 0.6, 2)
    gated, better = recover("tt", 0.6, 3)
    assert numerical_rank(decayed.weight) > 2 == numerical_rank(gated.weight)
    assert better < error


def test_adam_finds_it_too() -> None:
    layer, error = recover("tucker", 0.6, 3, optimizer="Adam")
    assert error < 0.08  # of the noisy matrix itself it is 0.15
    rows = gates_of(layer).collapse(1e-3)
    assert rows[0].ranks == (2, 2)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize(
    ("form", "depth"), [("tucker", 3), ("tucker", 5), ("cp", 3), ("cp", 4), ("tt", 3), ("tt", 4)]
)
def test_more_seeds_and_depths(form: str, depth: int, seed: int) -> None:
    """Depth wants its own rate: in the parts of a term of size s, here 8, the loss curves by D s^(2 - 2/D)."""
    rate = 0.03 if depth == 3 else 0.5 / (depth * 8 ** (2 - 2 / depth))
    layer, error = recover(form, 0.6, depth, seed, rate=rate)
    assert numerical_rank(layer.weight) <= 3
    assert error < 0.1


# -- what the penalty is ---------------------------------------------------------------------------------


@pytest.mark.parametrize("depth", [3, 4, 5])
def test_at_its_least_it_is_the_quasi_norm(depth: int) -> None:
    """(1/D) Σ||M_d||² = Σ σ^(2/D) where every part is S^(1/D), and no less anywhere."""
    left, right = (torch.linalg.qr(torch.randn(n, 4, dtype=torch.float64)).Q for n in (7, 6))
    spectrum = torch.tensor([5.0, 2.0, 1.0, 0.1], dtype=torch.float64)
    root = spectrum ** (1 / depth)
    layer = nn.Linear(6, 7, bias=False, dtype=torch.float64)
    write_weight(layer, TT(((left * root)[None], (root[:, None] * right.mT)[:, :, None])))
    gated = GatedRank(layer, 1.0, depth=depth)
    (site,) = format_sites(layer)
    assert gated.depths == {"": depth}
    for parameter in site.parameters:
        if parameter.shape == (depth - 2, 4):
            parameter.data = root.expand(depth - 2, 4).clone()
    least = float((spectrum ** (2 / depth)).sum())
    assert abs(float(gated.penalty().detach()) - least) <= 1e-14 * least * 100
    torch.testing.assert_close(layer.weight.detach(), (left * spectrum) @ right.mT)
    for number in (0.5, 3.0):
        for parameter in site.parameters[:2]:
            parameter.data *= number if parameter is site.parameters[0] else 1 / number
        assert float(gated.penalty().detach()) > least


@pytest.mark.parametrize("depth", [2, 3, 4, 6, 9])
@pytest.mark.parametrize("name", values())
def test_gates_change_nothing_at_first_and_count_as_parts(name: str, depth: int) -> None:
    value = values()[name]
    layer = nn.Module()
    layer.weight = nn.Parameter(torch.zeros(value.shape, dtype=torch.float64))
    write_weight(layer, value)
    before = layer.weight.detach()
    gated = GatedRank(layer, 0.3, depth=depth)
    assert torch.equal(layer.weight.detach(), before)
    (site,) = format_sites(layer)
    squares = sum(float(p.detach().square().sum()) for p in site.parameters)
    reached = gated.depths[""]
    assert reached >= depth
    assert abs(float(gated.penalty().detach()) - 0.3 * squares / reached) <= 1e-12 * squares
    gates = [
        p
        for p in site.parameters
        if all(p is not t for t in site.tensors) and p.ndim == 2 and bool((p == 1).all())
    ]
    axes = value.latent_axes()
    assert len(gates) in (0, len(axes))
    own = len(value.tensors)
    more = 1 if isinstance(value, CP) else len(axes)
    assert reached == own + more * (gates[0].shape[0] if gates else 0)
    assert reached == own or reached - more < depth


@pytest.mark.parametrize("form", ["tucker", "cp", "tt", "tt_matrix"])
def test_gradients_reach_every_part(form: str) -> None:
    network = model(form)
    gated = GatedRank(network, 0.1, depth=7)
    (loss(network) + gated.penalty()).backward()
    for site in format_sites(network):
        assert len(site.parameters) > len(site.names)
        assert all(p.grad is not None and p.grad.any() for p in site.parameters)


# -- what is left ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["tucker", "cp", "tt", "tt_matrix"])
@pytest.mark.parametrize("inner", [torch.optim.SGD, torch.optim.AdamW])
def test_what_collapses_is_ordinary(form: str, inner: type[torch.optim.Optimizer], tmp_path: Any) -> None:
    network = model(form)
    kinds = [type(layer) for layer in network]
    rate, strength = (0.2, 0.1) if inner is torch.optim.SGD else (0.02, 0.05)
    gated = GatedRank(network, strength, depth=5)
    optimizer = inner(decay_groups(network, 0.0), lr=rate)
    losses = train(network, optimizer, 200, gated.penalty)
    assert losses[-1] < losses[0]
    images, _ = batch()
    before = network(images)
    rows = gated.collapse(1e-2, optimizer=optimizer)
    sites = {site.name: site for site in format_sites(network)}
    assert [row.name for row in rows] == list(sites) == ["0", "3"]
    assert any(row.ranks < row.ranks_before for row in rows)
    assert all(row.ranks == sites[row.name].value.ranks and row.error <= 1e-2 for row in rows)
    assert bool((network(images) - before).norm() < 0.05 * before.norm())
    assert all(len(site.parameters) == len(site.names) for site in sites.values())
    assert not any(
        id(p) in {id(q) for q in optimizer.state} for site in sites.values() for p in site.parameters
    )
    if form == "tucker":
        assert [type(layer) for layer in network] == kinds
        folded = rf.fold(network)
        torch.testing.assert_close(folded(images), network(images))
        rf.save(network, tmp_path / "net.safetensors")
        again = model(form)
        rf.load(again, tmp_path / "net.safetensors")
        torch.testing.assert_close(again(images), network(images))
        train(network, TDLRT(network, torch.optim.SGD, lr=0.05, core_steps=2), 6)
    train(network, inner(network.parameters(), lr=0.01), 3)


@pytest.mark.parametrize("form", ["tucker", "tt_matrix"])
def test_gated_layers_fold_copy_and_are_saved(form: str, tmp_path: Any) -> None:
    network = model(form)
    gated = GatedRank(network, 0.02, depth=5)
    train(network, torch.optim.SGD(network.parameters(), lr=0.1), 20, gated.penalty)
    images, _ = batch()
    expected = network(images)
    torch.testing.assert_close(rf.fold(network)(images), expected)
    torch.testing.assert_close(rf.densify(network)(images), expected)
    assert torch.equal(copy.deepcopy(network)(images), expected)
    network.eval()
    with torch.no_grad():
        torch.testing.assert_close(network(images), expected)
    rf.save(network, tmp_path / "net.safetensors")
    again = model(form)
    GatedRank(again, 0.02, depth=5)
    rf.load(again, tmp_path / "net.safetensors")
    torch.testing.assert_close(again(images), expected)


def test_copies_collapse_apart() -> None:
    network = model("tucker")
    gated = GatedRank(network, 0.02)
    other = copy.deepcopy(network)
    gated.collapse()
    images, _ = batch()
    assert torch.isfinite(other(images)).all()
    assert len(list(other[0].parameters())) == len(list(network[0].parameters()))
    (loss(other)).backward()


def test_every_kind_of_tucker_layer() -> None:
    torch.manual_seed(0)
    for layer, inputs in (
        (Conv2d(4, 6, 3, rank=3, modes=(0, 1, 2)), torch.randn(2, 4, 5, 5)),
        (Embedding(9, 6, padding_idx=2, rank=3), torch.tensor([[1, 2]])),
    ):
        expected = layer(inputs)
        gated = GatedRank(layer, 0.1, depth=8)
        torch.testing.assert_close(layer(inputs), expected)
        gated.collapse()
        torch.testing.assert_close(layer(inputs), expected)


def test_with_frobenius_decay() -> None:
    """The decay is of the gated weight, and its gradients go through the gates."""
    network = model("tucker")
    GatedRank(network, 0.1, depth=5)
    decay = FrobeniusDecay(network, 0.3)
    expected = torch.autograd.grad(
        decay.penalty(), [p for site in format_sites(network) for p in site.parameters]
    )
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    with torch.no_grad():
        decay.add_gradients()
    for parameter, gradient in zip(
        (p for s in format_sites(network) for p in s.parameters), expected, strict=True
    ):
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, gradient)


# -- with TDLRT ------------------------------------------------------------------------------------------


def test_balanced_is_the_schatten_quasi_norm() -> None:
    layer = Linear(6, 7, bias=False, rank=4, dtype=torch.float64)
    spectrum = torch.tensor([5.0, 2.0, 1.0, 0.5], dtype=torch.float64)
    bases = [torch.linalg.qr(torch.randn(n, 4, dtype=torch.float64)).Q for n in (4, 4, 7, 6)]
    layer.assign(Tucker(bases[0] * spectrum @ bases[1].mT, (bases[2], bases[3])))
    for depth in (2, 3, 4):
        value = float(GatedRank(layer, 1.0, depth=depth, balanced=True).penalty().detach())
        expected = float((spectrum ** (2 / depth)).sum())
        floor = 4 * (0.01 * 5) ** (2 / depth)
        assert expected - floor <= value <= expected


def test_balanced_does_not_depend_on_the_bases() -> None:
    layer = Conv2d(5, 6, 3, rank=4, dtype=torch.float64)
    before = GatedRank(layer, 1.0, balanced=True).penalty().detach()
    turns = {mode: torch.randn(4, 4, dtype=torch.float64) + 3 * torch.eye(4) for mode in (0, 1)}
    value = layer.tucker
    core = value.core.detach()
    factors = list(value.factors)
    for mode, turn in turns.items():
        factor = factors[mode]
        assert factor is not None
        factors[mode] = factor.detach() @ turn
        core = torch.movedim(torch.tensordot(torch.linalg.inv(turn), core.movedim(mode, 0), 1), 0, mode)
    layer.assign(Tucker(core, tuple(factors)))
    torch.testing.assert_close(GatedRank(layer, 1.0, balanced=True).penalty().detach(), before)


def test_balanced_says_where_numbers_are_lost() -> None:
    layer = Linear(6, 7, rank=4)
    gated = GatedRank(layer, 1.0, balanced=True)
    layer.core.data[0, 0] = math.nan
    with pytest.raises(NonFiniteError, match="singular values of layer '' cannot be computed"):
        gated.penalty()


def test_balanced_penalty_of_zero_is_finite() -> None:
    layer = Linear(6, 7, rank=4)
    layer.core.data.zero_()
    penalty = GatedRank(layer, 1.0, balanced=True).penalty()
    penalty.backward()
    assert float(penalty.detach()) == 0
    assert layer.core.grad is not None
    assert not layer.core.grad.any()


@pytest.mark.parametrize("integrator", ["augmented", "parallel", "fixed"])
def test_balanced_with_tdlrt(integrator: str) -> None:
    """The penalty is there while ranks change, and makes TDLRT choose lower ones at the same tolerance."""
    reached = []
    for strength in (0.0, 0.05):
        network = model("tucker")
        tolerance = 0.15 if integrator == "augmented" else 0.05
        optimizer = TDLRT(
            network,
            torch.optim.SGD,
            lr=0.1,
            momentum=0.5,
            core_steps=5,
            tolerance=tolerance,
            integrator=integrator,
        )
        gated = GatedRank(network, strength, balanced=True)
        ranks = set()
        losses = []
        for _ in range(90):
            losses += train(network, optimizer, 1, gated.penalty)
            ranks.add((network[0].ranks, network[3].ranks))
        optimizer.truncate()
        assert losses[-1] < losses[0]
        assert (len(ranks) > 1) == (integrator != "fixed")
        reached.append(sum(network[k].tucker.num_parameters for k in (0, 3)))
    if integrator != "fixed":
        assert reached[1] < reached[0]


def test_gates_and_tdlrt_refuse_each_other() -> None:
    network = model("tucker")
    gated = GatedRank(network, 0.1)
    with pytest.raises(OptimizerError, match=r"core of layer '0' is computed.*GatedRank\(balanced=True\)"):
        TDLRT(network, torch.optim.SGD, lr=0.1)
    gated.collapse()
    TDLRT(network, torch.optim.SGD, lr=0.1)


# -- what makes no sense ---------------------------------------------------------------------------------


def test_refusals() -> None:
    network = model("tucker")
    for depth in (1, 0, -3, 2.5, True, "3", None):
        with pytest.raises(OptionError, match="depth must be a whole number of 2 or more"):
            GatedRank(network, 0.1, depth=depth)  # pyright: ignore[reportArgumentType]
    for strength in (-0.1, math.nan, math.inf, "1"):
        with pytest.raises(OptionError, match="strength must be a finite number"):
            GatedRank(network, strength)  # pyright: ignore[reportArgumentType]
    with pytest.raises(OptionError, match="no weight of the model is in a format"):
        GatedRank(nn.Linear(3, 3), 0.1)
    with pytest.raises(OptionError, match=r"pass the nn\.Module itself"):
        GatedRank(network.state_dict(), 0.1)  # pyright: ignore[reportArgumentType]
    with pytest.raises(OptionError, match=r"the weight of '0' is CP\(.*train gates instead"):
        GatedRank(model("cp"), 0.1, balanced=True)
    tied = nn.ModuleDict({"a": Linear(4, 4, rank=2), "b": Linear(4, 4, rank=2)})
    tied["b"].share(tied["a"])
    with pytest.raises(OptionError, match="'a', 'b' share one weight"):
        GatedRank(tied, 0.1)
    gated = GatedRank(network, 0.1)
    with pytest.raises(OptionError, match="layer '0' is gated already"):
        GatedRank(network, 0.1)
    for tolerance in (-0.1, 1.0, math.nan, "1"):
        with pytest.raises(OptionError, match=r"tolerance must be a number in \[0, 1\)"):
            gated.collapse(tolerance)  # pyright: ignore[reportArgumentType]
    gated.collapse()
    with pytest.raises(OptionError, match="the gates are gone already"):
        gated.collapse()
    with pytest.raises(OptionError, match="TDLRT cuts the ranks itself"):
        GatedRank(network, 0.1, balanced=True).collapse()


def test_nothing_changes_where_a_weight_is_not_finite() -> None:
    network = model("tucker")
    gated = GatedRank(network, 0.1, depth=5)
    network[3].factor_0.data[0, 0] = math.nan
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(NonFiniteError, match="layer '3'"):
        gated.collapse()
    after = network.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[n], after[n]) or before[n].isnan().any() for n in before)


def test_zero_weights_keep_one_rank() -> None:
    layer = Linear(6, 5, rank=3)
    layer.core.data.zero_()
    rows = GatedRank(layer, 0.1).collapse()
    assert rows[0].ranks == layer.ranks == (1, 1)
    assert rows[0].error == 0
    assert torch.equal(layer(torch.ones(6)), layer.bias)
    F.mse_loss(layer(torch.ones(6)), torch.zeros(5)).backward()


@pytest.mark.parametrize("parameters", [150, 300, 600])
def test_collapse_to_a_number_of_parameters(parameters: int) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 10)).double()
    rf.factorize(model, 8)
    gated = GatedRank(model, 0.1)
    whole = [model[index].weight.detach().clone() for index in (0, 2)]
    rows = gated.collapse(0.0, parameters=parameters)
    left = sum(model[index].tucker.num_parameters for index in (0, 2))
    assert left <= parameters
    assert parameters - left < 8 + 30 + 20 + 16  # one direction more of the larger weight would be too much
    for row, index, before in zip(rows, (0, 2), whole, strict=True):
        after = model[index].weight.detach()
        assert row.ranks == model[index].ranks
        assert row.error == pytest.approx(float((after - before).norm() / before.norm()), abs=1e-7)
        # A matrix loses its smallest singular values and nothing else.
        tail = torch.linalg.svdvals(before)[row.ranks[0] :].norm()
        assert float((after - before).norm()) == pytest.approx(float(tail), abs=1e-10)


def test_numbers_of_parameters_that_cannot_be() -> None:
    model = nn.Sequential(nn.Linear(20, 30))
    rf.factorize(model, 8)
    gated = GatedRank(model, 0.1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for parameters in (0, 50, 2.5):
        with pytest.raises(OptionError, match="parameters"):
            gated.collapse(parameters=parameters)  # pyright: ignore[reportArgumentType]
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
