"""Decay of products: what it is, as a loss term and inside optimisers, alone and with TDLRT."""

import copy
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from tests.regularize.values import batch, model
from torch import Tensor, nn

from rankfold import TDLRT, OptimizerError, OptionError, factorize
from rankfold.layers import SplitAttention, format_sites
from rankfold.regularize import FrobeniusDecay, decay_groups

FORMS = ("tucker", "cp", "tt", "tt_matrix")


def loss(network: nn.Module, seed: int = 0) -> Tensor:
    images, labels = batch(seed=seed)
    return F.cross_entropy(network(images), labels)


@pytest.mark.parametrize("form", FORMS)
def test_penalty_is_that_of_the_dense_weights(form: str) -> None:
    network = model(form)
    expected = 0.05 * sum(float(network[k].weight.detach().square().sum()) for k in (0, 3))
    assert abs(float(FrobeniusDecay(network, 0.1).penalty().detach()) - expected) <= 1e-12 * expected


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.Adam])
@pytest.mark.parametrize("form", FORMS)
def test_attached_or_in_the_loss_is_the_same(form: str, optimizer: type[torch.optim.Optimizer]) -> None:
    by_loss, by_hook = model(form), model(form)
    by_hook.load_state_dict(by_loss.state_dict())
    decays = [FrobeniusDecay(network, 0.3) for network in (by_loss, by_hook)]
    optimizers = [optimizer(network.parameters(), lr=0.01) for network in (by_loss, by_hook)]
    handle = decays[1].attach(optimizers[1])
    for step in range(5):
        for network, own in zip((by_loss, by_hook), optimizers, strict=True):
            own.zero_grad()
            value = loss(network, step)
            (value + decays[0].penalty() if network is by_loss else value).backward()
            own.step()
    for mine, other in zip(by_loss.parameters(), by_hook.parameters(), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-9, atol=1e-12)
    handle.remove()
    before = copy.deepcopy(by_hook.state_dict())
    optimizers[1].zero_grad(set_to_none=False)
    if optimizer is torch.optim.SGD:
        optimizers[1].step()
        assert all(torch.equal(before[name], value) for name, value in by_hook.state_dict().items())


def test_decay_alone_is_decay_of_the_product_not_of_the_factors() -> None:
    """Weight decay of factors is at least twice the nuclear norm; of the product it is the Frobenius norm squared."""
    network = nn.Sequential(nn.Linear(6, 5, dtype=torch.float64))
    factorize(network, 3)
    network[0].assign(network[0].tucker.rotate())
    tucker = network[0].tucker
    root = torch.linalg.svdvals(tucker.core.detach()).sqrt().diag()
    nuclear = float(torch.linalg.svdvals(network[0].weight.detach()).sum())
    left, right = tucker.factors
    assert left is not None
    assert right is not None
    of_factors = ((left @ root).square().sum() + (right @ root).square().sum()) / 2
    assert abs(float(of_factors.detach()) - nuclear) <= 1e-12 * nuclear
    frobenius = float(FrobeniusDecay(network, 1.0).penalty().detach())
    assert abs(frobenius - 0.5 * float(network[0].weight.detach().square().sum())) <= 1e-12 * frobenius


def test_frozen_and_unused_parameters_are_left_alone() -> None:
    network = model("tucker")
    decay, optimizer = FrobeniusDecay(network, 1.0), torch.optim.SGD(network.parameters(), lr=0.1)
    network[0].core.requires_grad_(False)
    decay.attach(optimizer)
    before = copy.deepcopy(network.state_dict())
    network[3](torch.ones(2, 96, dtype=torch.float64)).sum().backward()
    optimizer.step()
    for name, value in network.state_dict().items():
        assert torch.equal(value, before[name]) == (not name.startswith("3.") or name.endswith("ranks")), name


@pytest.mark.parametrize("integrator", ["augmented", "parallel", "fixed"])
def test_with_tdlrt(integrator: str) -> None:
    """Attached to TDLRT it is the inner optimiser's weight decay, at all ranks: there ``||W|| = ||C||``."""
    networks = [model("tucker") for _ in range(2)]
    networks[1].load_state_dict(networks[0].state_dict())
    options: dict[str, Any] = {"lr": 0.05, "core_steps": 3, "tolerance": 0.2, "integrator": integrator}
    groups = [decay_groups(network, 0.0) for network in networks]
    groups[1][1]["weight_decay"] = 0.1
    first, second = (
        TDLRT(network, torch.optim.SGD, param_groups=group, **options)
        for network, group in zip(networks, groups, strict=True)
    )
    FrobeniusDecay(networks[0], 0.1).attach(first)
    seen = set()
    for step in range(12):
        for network, optimizer in zip(networks, (first, second), strict=True):
            optimizer.zero_grad()
            loss(network, step).backward()
            optimizer.step()
        assert networks[0][0].ranks == networks[1][0].ranks
        seen.add(networks[0][0].ranks)
    assert (len(seen) > 1) == (integrator != "fixed")
    if (
        integrator == "augmented"
    ):  # the others let the decay turn their K-steps as well, where weight decay does not
        for site, other in zip(*(format_sites(network) for network in networks), strict=True):
            torch.testing.assert_close(site.value.to_dense(), other.value.to_dense(), rtol=1e-9, atol=1e-12)


def test_as_a_loss_term_of_tdlrt() -> None:
    network = model("tucker")
    decay = FrobeniusDecay(network, 0.02)
    optimizer = TDLRT(network, torch.optim.SGD, lr=0.05, core_steps=3, tolerance=0.2)
    norms, ranks = [], set()
    for _ in range(24):
        optimizer.zero_grad()
        penalty = decay.penalty()
        (loss(network) + 20 * penalty).backward()
        optimizer.step()
        norms.append(float(penalty.detach()))
        ranks.add(network[0].ranks)
    assert norms[-1] < 0.5 * norms[0]
    assert len(ranks) > 1


def test_steps_with_a_closure_are_refused() -> None:
    network = model("tucker")
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    FrobeniusDecay(network, 1.0).attach(optimizer)

    def closure() -> float:
        return 0.0

    for call in (lambda: optimizer.step(closure), lambda: optimizer.step(closure=closure)):
        with pytest.raises(OptimizerError, match=r"add penalty\(\) to the loss in the closure"):
            call()


def test_one_pass_steps_of_tdlrt_say_what_to_do() -> None:
    network = model("tucker")
    optimizer = TDLRT(network, torch.optim.SGD, lr=0.05, core_steps=1)
    FrobeniusDecay(network, 1.0).attach(optimizer)
    loss(network).backward()
    with pytest.raises(OptimizerError, match="use core_steps=2 or a closure"):
        optimizer.step()


# -- attention -------------------------------------------------------------------------------------------


def attention(kind: str) -> nn.MultiheadAttention | nn.Module:
    torch.manual_seed(1)
    own = {"kdim": 10, "vdim": 14} if kind == "own dimensions" else {}
    plain = nn.Sequential(nn.MultiheadAttention(12, 3, batch_first=True, dtype=torch.float64, **own))
    if kind in ("split", "factorised"):
        plain[0] = SplitAttention(plain[0])
    if kind == "factorised":
        factorize(plain, 5, include=["0.q_proj", "0.v_proj", "0.out_proj"])
    return plain


@pytest.mark.parametrize("kind", ["packed", "own dimensions", "split", "factorised"])
def test_products_of_attention(kind: str) -> None:
    network = attention(kind)
    module: Any = network[0]
    if kind == "packed":
        q, k, v = module.in_proj_weight.chunk(3)
    elif kind == "own dimensions":
        q, k, v = module.q_proj_weight, module.k_proj_weight, module.v_proj_weight
    else:
        q, k, v = (projection.weight for projection in module.projections[:3])
    o = module.out_proj.weight
    expected = sum(
        (q[h : h + 4].mT @ k[h : h + 4]).square().sum() + (o[:, h : h + 4] @ v[h : h + 4]).square().sum()
        for h in (0, 4, 8)
    )
    decay = FrobeniusDecay(network, 0.2, attention=True)
    torch.testing.assert_close(decay.penalty(), 0.1 * expected, rtol=1e-12, atol=0)
    parameters = [p for p in network.parameters() if p.requires_grad and "bias" not in _name(network, p)]
    wanted = torch.autograd.grad(decay.penalty(), parameters)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    decay.add_gradients()
    for parameter, gradient in zip(parameters, wanted, strict=True):
        assert parameter.grad is not None
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-12, atol=1e-15)


def _name(network: nn.Module, parameter: Tensor) -> str:
    return next(name for name, other in network.named_parameters() if other is parameter)


def test_products_take_the_place_of_their_projections() -> None:
    network = nn.Sequential(attention("factorised"), nn.Linear(12, 6, dtype=torch.float64))
    factorize(network, 2, include="1")
    alone = (
        FrobeniusDecay(network[1], 1.0).penalty() + FrobeniusDecay(network[0], 1.0, attention=True).penalty()
    )
    torch.testing.assert_close(FrobeniusDecay(network, 1.0, attention=True).penalty(), alone)
    spared = decay_groups(network, 0.1, attention=True)[1]["params"]
    assert {_name(network, p).rsplit(".", 1)[-1] for p in spared} == {
        "core",
        "factor_0",
        "factor_1",
        "weight",
    }
    assert len(spared) == 3 * 3 + 1 + 3


# -- groups ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_groups_take_weight_decay_off_the_factors(form: str) -> None:
    network = model(form)
    network[5].bias.requires_grad_(False)
    decayed, spared = decay_groups(network, 0.1)
    assert (decayed["weight_decay"], spared["weight_decay"]) == (0.1, 0.0)
    assert {id(p) for p in spared["params"]} == {
        id(p) for site in format_sites(network) for p in site.parameters
    }
    together = [id(p) for group in (decayed, spared) for p in group["params"]]
    assert sorted(together) == sorted(id(p) for p in network.parameters() if p.requires_grad)


def test_one_group_where_nothing_is_factorised() -> None:
    assert len(decay_groups(nn.Linear(3, 3), 0.1)) == 1


def test_what_makes_no_sense() -> None:
    network = model("tucker")
    for strength in (-1, float("nan"), float("inf"), "1", True, None):
        with pytest.raises(OptionError, match="strength must be a finite number of 0 or more"):
            FrobeniusDecay(network, strength)  # pyright: ignore[reportArgumentType]
        with pytest.raises(OptionError, match="weight_decay must be a finite number of 0 or more"):
            decay_groups(network, strength)  # pyright: ignore[reportArgumentType]
    for dense in (nn.Linear(3, 3), nn.MultiheadAttention(4, 2)):
        with pytest.raises(OptionError, match="no weight of the model is in a format"):
            FrobeniusDecay(dense, 1.0)
    for function in (lambda: FrobeniusDecay("model", 1.0), lambda: decay_groups(None, 1.0)):  # pyright: ignore
        with pytest.raises(OptionError, match=r"pass the nn\.Module itself"):
            function()
