"""Where one gradient gives a whole step, the inner optimiser moves bases with moments of their own."""

import pytest
import torch
from tests.training.networks import network, one_step, snapshot, tdlrt
from tests.training.problems import random_tensor, relative, tangent_projection
from torch import Tensor, nn

from rankfold import TDLRT, OptimizerError, set_ranks
from rankfold.convert import factorized_layers
from rankfold.layers import FactorizedLayer, Linear
from rankfold.linalg import mode_products, unfold
from rankfold.training._basis_moves import FRAME

LR, BETAS, EPS = 0.01, (0.9, 0.99), 1e-8


class Moments:
    """Adam's, by hand."""

    def __init__(self, like: Tensor) -> None:
        self.first, self.second, self.count = torch.zeros_like(like), torch.zeros_like(like), 0

    def move(self, gradient: Tensor) -> Tensor:
        self.count += 1
        self.first = BETAS[0] * self.first + (1 - BETAS[0]) * gradient
        self.second = BETAS[1] * self.second + (1 - BETAS[1]) * gradient**2
        mean, variance = self.first / (1 - BETAS[0] ** self.count), self.second / (1 - BETAS[1] ** self.count)
        return -LR * mean / (variance.sqrt() + EPS)

    def turn(self, turn: Tensor) -> None:
        self.first, self.second = self.first @ turn, self.second @ turn**2


def regression(rank: int = 3) -> tuple[Linear, Tensor]:
    """A layer of 9 outputs and 7 inputs, and the weight that it shall learn."""
    generator = torch.Generator().manual_seed(0)
    layer = Linear(7, 9, bias=False, rank=rank, dtype=torch.float64, generator=generator)
    return layer, random_tensor(9, 7, seed=5)


def learn(layer: Linear, optimizer: TDLRT, target: Tensor) -> None:
    optimizer.zero_grad()
    (0.5 * (layer.weight - target).square().sum()).backward()
    optimizer.step()


def by_hand(weight: Tensor, target: Tensor, rank: int, steps: int) -> Tensor:
    """W after steps of Adam on K = U S, L = V S and S, put together and cut to the rank."""
    U, s, Vh = torch.linalg.svd(weight, full_matrices=False)
    U, S, V = U[:, :rank], torch.diag(s[:rank]), Vh[:rank].mT
    k, lt, c = Moments(U), Moments(V), Moments(S)
    for _ in range(steps):
        G = U @ S @ V.mT - target
        K, L, C = k.move(G @ V), lt.move(G.mT @ U), c.move(U.mT @ G @ V)
        K, L = K - U @ (U.mT @ K), L - V @ (V.mT @ L)
        P, s, Qh = torch.linalg.svd(U @ (S + C) @ V.mT + K @ V.mT + U @ L.mT)
        P, Q = P[:, :rank], Qh[:rank].mT
        k.turn(V.mT @ Q)
        lt.turn(U.mT @ P)
        # The core: zero momentum and the mean of the variances outside the old coordinates.
        left, right = U.mT @ P, V.mT @ Q
        variance = c.second.mean()
        c.first = left.mT @ c.first @ right
        c.second = (left**2).mT @ (c.second - variance) @ right**2 + variance
        U, S, V = P, torch.diag(s[:rank]), Q
    return U @ S @ V.mT


def test_a_step_is_that_of_adam_on_both_products_and_the_core():
    layer, target = regression()
    expected = by_hand(layer.weight.detach(), target, 3, 6)
    optimizer = TDLRT(
        nn.Sequential(layer),
        torch.optim.Adam,
        lr=LR,
        betas=BETAS,
        eps=EPS,
        integrator="parallel",
        core_steps=1,
        tolerance=0.0,
        max_rank=3,
    )
    for _ in range(6):
        learn(layer, optimizer, target)
    assert layer.ranks == (3, 3)
    assert relative(layer.weight, expected) < 1e-10


def ambient(layer: FactorizedLayer, mode: int, moment: Tensor, frame: Tensor) -> Tensor:
    """A first moment of K_i as the change of the weight that it stands for, unfolded."""
    others = {other: factor.data for other, factor in layer.factors.items() if other != mode}
    return unfold(mode_products(frame, {mode: moment, **others}), mode)


def test_moments_of_bases_are_projected_on_the_row_space_of_the_weight():
    model = network(dtype=torch.float64)
    optimizer = tdlrt(model, integrator="parallel", core_steps=1, tolerance=0.05)
    for seed in range(4):
        one_step(model, optimizer, seed)
    before = {
        (name, mode): ambient(
            layer, mode, optimizer.state[basis]["momentum_buffer"], optimizer.state[basis][FRAME]
        )
        for name, layer in factorized_layers(model)
        for mode, basis in layer.factors.items()
    }
    rows = {
        (name, mode): torch.linalg.svd(unfold(layer.weight.detach(), mode), full_matrices=False).Vh[
            : layer.ranks[mode]
        ]
        for name, layer in factorized_layers(model)
        for mode in layer.factors
    }
    bases = {
        name: [f.data.clone() for f in layer.factors.values()] for name, layer in factorized_layers(model)
    }
    # Without learning rate and with zero gradients the step only turns the moments, which lose a tenth.
    for group in optimizer.param_groups:
        group["lr"] = 0.0
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    assert len(before) == 6
    for name, layer in factorized_layers(model):
        for (mode, basis), old in zip(layer.factors.items(), bases[name], strict=True):
            assert relative(basis @ basis.mT, old @ old.mT) < 1e-10
            state = optimizer.state[basis]
            after = ambient(layer, mode, state["momentum_buffer"], state[FRAME])
            right = rows[name, mode]
            assert relative(after, 0.9 * before[name, mode] @ right.mT @ right) < 1e-10


def test_weight_decay_acts_on_the_weight_once():
    layer, target = regression()
    model = nn.Sequential(layer)
    optimizer = TDLRT(
        model,
        torch.optim.SGD,
        lr=0.1,
        weight_decay=0.5,
        integrator="parallel",
        core_steps=1,
        tolerance=0.0,
    )
    tucker, weight = layer.tucker, layer.weight.detach().clone()
    moved = (1 - 0.05) * weight - 0.1 * tangent_projection(tucker, weight - target).detach()
    learn(layer, optimizer, target)
    assert relative(layer.weight, moved) < 1e-12


def test_from_a_zero_core_and_random_bases_the_target_is_found():
    layer, _ = regression(rank=2)
    with torch.no_grad():
        layer.core.zero_()
    target = random_tensor(9, 2, seed=1) @ random_tensor(2, 7, seed=2)
    target *= 2 / target.norm()
    optimizer = TDLRT(
        nn.Sequential(layer),
        torch.optim.Adam,
        lr=0.03,
        integrator="parallel",
        core_steps=1,
        tolerance=0.0,
        parameter_budget=2 * 16 + 4,
    )
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 150)
    for _ in range(150):
        learn(layer, optimizer, target)
        schedule.step()
    assert layer.ranks == (2, 2)
    # Without moments of the bases 0.28 is left.
    assert relative(layer.weight, target) < 0.05


@pytest.mark.parametrize("rank", [2, 5])
def test_training_goes_on_at_ranks_that_were_set(rank: int):
    layer, target = regression()
    optimizer = TDLRT(
        nn.Sequential(layer), torch.optim.Adam, lr=LR, integrator="parallel", core_steps=1, max_rank=6
    )
    for _ in range(3):
        learn(layer, optimizer, target)
    set_ranks(optimizer.model, rank, optimizer=optimizer)
    turned = {mode: optimizer.state[basis][FRAME].shape for mode, basis in layer.factors.items()}
    assert all(shape[1 - mode] == min(rank, shape[1 - mode]) for mode, shape in turned.items())
    learn(layer, optimizer, target)
    for basis in layer.factors.values():
        assert optimizer.state[basis]["exp_avg"].shape == (len(basis), rank)
        assert bool(optimizer.state[basis]["exp_avg"].abs().sum() > 0)


def test_the_inner_optimiser_lists_bases_during_the_step_only():
    model = network()
    optimizer = tdlrt(model, torch.optim.Adam, integrator="parallel", core_steps=1)
    before = snapshot(model)
    listed = [len(group["params"]) for group in optimizer.inner.param_groups]
    bases = {name for name in before if ".factor_" in name}

    def fail(*_: object) -> None:
        assert [len(group["params"]) for group in optimizer.inner.param_groups] == [listed[0] + len(bases)]
        raise RuntimeError("stop")

    hook = optimizer.inner.register_step_pre_hook(fail)
    with pytest.raises(RuntimeError, match="stop"):
        one_step(model, optimizer, 0)
    hook.remove()
    assert [len(group["params"]) for group in optimizer.inner.param_groups] == listed
    after = snapshot(model)
    assert all(torch.equal(after[name], before[name]) for name in bases)
    one_step(model, optimizer, 0)
    assert [len(group["params"]) for group in optimizer.inner.param_groups] == listed


class Failing(torch.optim.Adam):
    """Adam whose steps may fail, as where memory runs out."""

    fails = False

    def step(self, closure=None):
        if self.fails:
            raise MemoryError
        return super().step(closure)


def test_after_a_step_that_fails_training_goes_on():
    model = network(dtype=torch.float64)
    optimizer = tdlrt(model, Failing, integrator="parallel", core_steps=1, tolerance=0.05)
    for seed in range(3):
        one_step(model, optimizer, seed)
    before = [parameter.detach().clone() for parameter in model.parameters()]
    optimizer.inner.fails = True
    with pytest.raises(MemoryError):
        one_step(model, optimizer, 3)
    assert all(torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))
    optimizer.inner.fails = False
    one_step(model, optimizer, 3)


@pytest.mark.parametrize("damage", [{"first_size": "x"}, {"ranks_before": {"none": [1, 2]}}])
def test_a_damaged_cycle_is_refused(damage):
    model = network()
    optimizer = tdlrt(model, integrator="parallel")
    state = optimizer.state_dict()
    state["tdlrt"] |= damage
    with pytest.raises(OptimizerError, match="damaged; take that of another checkpoint"):
        optimizer.load_state_dict(state)
