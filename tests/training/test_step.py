"""One step of the optimiser against the algorithm written out with dense matrices."""

import pytest
import torch
import torch.nn.functional as F
from tests.training.networks import batch, network, one_step, snapshot, tdlrt, weights
from tests.training.problems import core_gradient, random_tensor, relative, tangent_projection
from torch import nn

from rankfold import TDLRT, Tucker, factorize
from rankfold.layers import Linear

RATE, TOLERANCE = 0.2, 0.1


def regression(rank: int = 3):
    """A factorised linear layer, a batch, and the dense gradient of the mean squared error at any weight."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(9, 7, bias=False, dtype=torch.float64))
    factorize(model, rank)
    x, y = random_tensor(40, 9, seed=1), random_tensor(40, 7, seed=2)

    def gradient(weight: torch.Tensor) -> torch.Tensor:
        return 2 * (x @ weight.mT - y).mT @ x / y.numel()

    return model, x, y, gradient


def step_with_closure(model, optimizer, x, y):
    def closure():
        optimizer.zero_grad()
        loss = F.mse_loss(model(x), y)
        loss.backward()
        return loss

    return optimizer.step(closure)


def published_step(weight: torch.Tensor, rank: int, gradient) -> torch.Tensor:
    """Matrix DLRT with K- and L-step, written out: Schotthöfer et al. 2022, algorithm 1."""
    left, values, right = torch.linalg.svd(weight)
    u, s, v = left[:, :rank], values[:rank].diag(), right[:rank].mT
    g = gradient(weight)
    u1 = torch.linalg.qr(torch.cat([u @ s - RATE * g @ v, u], 1)).Q
    v1 = torch.linalg.qr(torch.cat([v @ s - RATE * g.mT @ u, v], 1)).Q
    inner = u1.mT @ u @ s @ v.mT @ v1
    inner = inner - RATE * u1.mT @ gradient(u1 @ inner @ v1.mT) @ v1
    left, values, right = torch.linalg.svd(inner)
    tails = values.square().flip(0).cumsum(0).flip(0).sqrt()
    kept = int((tails > TOLERANCE * values.norm()).sum())
    return u1 @ left[:, :kept] * values[:kept] @ right[:kept] @ v1.mT


def test_two_gradient_step_is_the_published_step():
    model, x, y, gradient = regression()
    optimizer = TDLRT(model, torch.optim.SGD, lr=RATE, tolerance=TOLERANCE, core_steps=1)
    for _ in range(4):
        before, rank = model[0].weight.detach(), model[0].ranks[0]
        step_with_closure(model, optimizer, x, y)
        assert relative(model[0].weight, published_step(before, rank, gradient)) < 1e-11


def test_two_gradient_step_of_a_convolution_is_the_tucker_step():
    model = network(dtype=torch.float64, rank=2)
    conv, x = model[0], batch(dtype=torch.float64)[0]
    goal = random_tensor(32, 8, 4, 4, seed=3)
    optimizer = TDLRT(nn.Sequential(conv), torch.optim.SGD, lr=RATE, tolerance=TOLERANCE, core_steps=1)

    def dense_gradient(weight):
        weight = weight.detach().requires_grad_()
        F.mse_loss(F.conv2d(x, weight, conv.bias.detach(), padding=1), goal).backward()
        return weight.grad

    for _ in range(3):
        # All modes of the window are kept whole, as None factors; give the oracle identities there.
        before, bias = conv.tucker, conv.bias.detach().clone()
        g = dense_gradient(before.to_dense())
        wide = before.augment({m: _k_gradient(before, g, m) for m in before.modes})
        moved = Tucker(wide.core - RATE * core_gradient(wide, dense_gradient(wide.to_dense())), wide.factors)
        expected = moved.truncate(tolerance=TOLERANCE)
        step_with_closure(nn.Sequential(conv), optimizer, x, goal)
        assert conv.ranks == expected.ranks
        assert relative(conv.weight, expected.to_dense()) < 1e-11
        assert not torch.equal(conv.bias, bias)


def _k_gradient(tucker, gradient, mode):
    """Mat_i(G) projected on the row space of Mat_i(W): spans what dL/dK spans."""
    rows = torch.linalg.svd(tucker.to_dense().movedim(mode, 0).flatten(1), full_matrices=False).Vh
    return gradient.movedim(mode, 0).flatten(1) @ rows[: tucker.ranks[mode]].mT


def test_parallel_step_is_riemannian_descent_then_truncation():
    model, x, y, gradient = regression()
    options = {"tolerance": TOLERANCE, "core_steps": 1, "integrator": "parallel"}
    optimizer = TDLRT(model, torch.optim.SGD, lr=RATE, **options)
    for _ in range(3):
        before = model[0].tucker
        g = gradient(before.to_dense().detach())
        moved = before.to_dense() - RATE * tangent_projection(before, g)
        expected = Tucker.from_dense(moved.detach(), tolerance=TOLERANCE)
        optimizer.zero_grad()
        F.mse_loss(model(x), y).backward()
        optimizer.step()
        assert relative(model[0].weight, expected.to_dense()) < 1e-11


def test_fixed_step_keeps_the_ranks_and_descends():
    model, x, y, _ = regression()
    optimizer = TDLRT(model, torch.optim.SGD, lr=RATE, core_steps=1, integrator="fixed")
    losses = [float(step_with_closure(model, optimizer, x, y).detach()) for _ in range(30)]
    assert model[0].ranks == (3, 3)
    assert losses[-1] < losses[0]
    assert losses == sorted(losses, reverse=True)


def test_the_basis_step_moves_bases_and_dense_parameters_only():
    model = network()
    optimizer = tdlrt(model)
    before, weight = snapshot(model), weights(model)
    one_step(model, optimizer, 0)
    for name, value in weights(model).items():
        torch.testing.assert_close(value, weight[name], rtol=1e-5, atol=1e-6)
    assert model[4].ranks[0] > before["4.core"].shape[0]
    assert torch.equal(
        model[4].core[: before["4.core"].shape[0], : before["4.core"].shape[1]], before["4.core"]
    )
    assert not torch.equal(model[1].weight, before["1.weight"])
    assert not torch.equal(model[4].bias, before["4.bias"])


def test_core_steps_move_cores_and_leave_the_bases():
    model = network()
    optimizer = tdlrt(model)
    one_step(model, optimizer, 0)
    before = snapshot(model)
    one_step(model, optimizer, 1)
    assert not torch.equal(model[4].core, before["4.core"])
    for name, value in model.state_dict().items():
        if "factor" in name:
            assert torch.equal(value, before[name])


def test_a_cycle_ends_with_truncation():
    model = network()
    optimizer = tdlrt(model, core_steps=3)
    for seed in range(4):
        assert not optimizer.records
        one_step(model, optimizer, seed)
    assert set(optimizer.records) == {"0", "4", "6"}
    assert all(record.step == 4 for record in optimizer.records.values())


def test_truncate_ends_the_cycle_at_any_time():
    model = network(dtype=torch.float64)
    optimizer = tdlrt(model, tolerance=0.0)
    optimizer.truncate()
    assert not optimizer.records
    ranks = {name: layer.ranks for name, layer in optimizer.layers.items()}
    one_step(model, optimizer, 0)
    before = weights(model)
    optimizer.truncate()
    # No core step was made: widening and truncating again changes nothing.
    assert {name: layer.ranks for name, layer in optimizer.layers.items()} == ranks
    for name, value in weights(model).items():
        torch.testing.assert_close(value, before[name], rtol=0, atol=1e-13)
    one_step(model, optimizer, 1)
    assert optimizer.layers["4"].ranks > ranks["4"]


def test_truncating_right_after_a_basis_step_cuts_nothing_a_second_time():
    model = network()
    optimizer = tdlrt(model, tolerance=0.3)
    for seed in range(5):  # one cycle and the next basis step
        one_step(model, optimizer, seed)
    ranks, before = {name: record.ranks for name, record in optimizer.records.items()}, weights(model)
    optimizer.truncate()
    assert {name: layer.ranks for name, layer in optimizer.layers.items()} == ranks
    for name, value in weights(model).items():
        torch.testing.assert_close(value, before[name], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("inner", "tolerance"), [(torch.optim.SGD, 1e-12), (torch.optim.AdamW, 1e-9)])
def test_up_and_down_without_gradient_change_leaves_the_next_step_alone(inner, tolerance):
    """Two optimisers in the same state; one widens and truncates in between. Their next core step is the same."""
    ways = []
    for detour in (False, True):
        model = network(dtype=torch.float64, rank=2)
        optimizer = tdlrt(model, inner, tolerance=0.0, core_steps=2)
        for seed in range(3):  # one whole cycle
            one_step(model, optimizer, seed)
        if detour:
            x, y = batch(7, dtype=torch.float64)
            F.cross_entropy(model(x), y).backward()
            for parameter in [
                p for n, p in model.named_parameters() if "factor" not in n and "core" not in n
            ]:
                parameter.grad = None  # the detour must not train the dense parameters
            optimizer.step()
            optimizer.truncate()
            model[1].load_state_dict(ways[0][2])
        else:
            ways.append((None, None, {k: v.clone() for k, v in model[1].state_dict().items()}))
        optimizer.freeze_bases_after = 0
        x, y = batch(8, dtype=torch.float64)
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()
        optimizer.step()
        ways.append(weights(model))
    for name in ways[1]:
        torch.testing.assert_close(ways[2][name], ways[1][name], rtol=0, atol=tolerance)


def test_a_layer_without_gradient_sits_the_cycle_out():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.used, self.unused = Linear(6, 5, rank=2), Linear(6, 5, rank=2)

        def forward(self, x):
            return self.used(x)

    torch.manual_seed(0)
    model = Two()
    optimizer = tdlrt(model)
    before = snapshot(model.unused)
    for seed in range(8):
        optimizer.zero_grad()
        model(random_tensor(4, 6, seed=seed, dtype=torch.float32)).square().mean().backward()
        optimizer.step()
    assert set(optimizer.records) == {"used"}
    assert all(torch.equal(value, before[name]) for name, value in model.unused.state_dict().items())
