"""Ranks, decay, clipping, records, and what stops a step."""

import pytest
import torch
import torch.nn.functional as F
from tests.training.networks import batch, network, one_step, same, snapshot, tdlrt
from torch import nn

from rankfold import Fraction, NonFiniteError, factorize
from rankfold.convert import factorized_layers
from rankfold.layers import Linear


def fit_low_rank_target(rank_target: int, rank: int, **options):
    """Least squares towards a matrix of known rank."""
    generator = torch.Generator().manual_seed(0)
    target = torch.randn(20, rank_target, generator=generator) @ torch.randn(
        rank_target, 16, generator=generator
    )
    model = nn.Sequential(Linear(16, 20, bias=False, rank=rank, generator=generator))
    defaults = {"lr": 1.0, "momentum": 0.0, "tolerance": 0.01, "core_steps": 5}
    optimizer = tdlrt(model, **{**defaults, **options})
    inputs = torch.eye(16)
    for _ in range(300):
        optimizer.zero_grad()
        (F.mse_loss(model(inputs), target.mT, reduction="sum") / 4).backward()
        optimizer.step()
    optimizer.truncate()
    return model[0], optimizer, target


@pytest.mark.parametrize("start", [1, 3, 12])
def test_the_rank_is_found_from_below_and_from_above(start):
    layer, _, target = fit_low_rank_target(3, start)
    assert layer.ranks == (3, 3)
    torch.testing.assert_close(layer.weight.detach(), target, rtol=0.02, atol=0.05)


def test_max_rank_is_never_exceeded_between_cycles_and_flagged():
    layer, optimizer, _ = fit_low_rank_target(6, 1, max_rank=2)
    assert layer.ranks == (2, 2)
    assert optimizer.records["0"].rank_capped


def test_max_rank_may_be_a_policy():
    layer, _, _ = fit_low_rank_target(12, 1, max_rank=Fraction(0.25))
    assert layer.ranks == (4, 4)


def test_min_rank_holds():
    layer, _, _ = fit_low_rank_target(1, 8, min_rank=5)
    assert layer.ranks == (5, 5)


def test_growth_without_a_cut_is_flagged():
    model = network(rank=1)
    records = []
    optimizer = tdlrt(model, tolerance=0.0, on_truncation=records.append)
    for seed in range(4):
        one_step(model, optimizer, seed)
    assert {record.layer for record in records} == {"0", "4", "6"}
    assert all(record.rank_capped for record in records if record.layer != "0")
    first = next(record for record in records if record.layer == "4")
    assert first.ranks_before == (1, 1)
    assert first.ranks == (2, 2)
    assert first.step == 4


def test_records_tell_what_truncation_did():
    model = network(rank=1.0)
    optimizer = tdlrt(model, tolerance=0.2)
    for seed in range(4):
        one_step(model, optimizer, seed)
    for name, layer in factorized_layers(model):
        record = optimizer.records[name]
        assert 0 <= record.truncation_error <= 0.2
        assert record.orthonormality_defect <= 1e-5
        assert record.ranks == layer.ranks
        assert not record.rank_capped


def test_exact_ranks_are_those_the_cycle_began_with():
    model = network(rank=2)
    optimizer = tdlrt(model, core_steps=3)
    start = optimizer.exact_ranks
    one_step(model, optimizer, 0)
    assert optimizer.exact_ranks == start
    assert any(layer.ranks != start[name] for name, layer in optimizer.layers.items())
    for seed in range(1, 4):
        one_step(model, optimizer, seed)
    assert optimizer.exact_ranks == {name: record.ranks for name, record in optimizer.records.items()}


def test_the_tolerance_warms_up():
    optimizer = tdlrt(network(), tolerance=0.2, tolerance_warmup=10)
    seen = []
    for seed in range(12):
        seen.append(optimizer.current_tolerance)
        one_step(optimizer.model, optimizer, seed)
    assert seen[0] == 0
    assert seen[5] == pytest.approx(0.1)
    assert seen[11] == 0.2


def test_bases_freeze():
    model = network()
    optimizer = tdlrt(model, freeze_bases_after=5)
    for seed in range(8):  # the second cycle began with step 5 and is completed
        one_step(model, optimizer, seed)
    before = snapshot(model)
    for seed in range(8, 16):
        one_step(model, optimizer, seed)
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name]) == ("factor" in name or "ranks" in name), name


def test_weight_decay_shrinks_the_core_and_leaves_the_bases():
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(Linear(6, 5, rank=3, bias=False, generator=generator))
    optimizer = tdlrt(model, weight_decay=0.5, lr=0.1, momentum=0.0, freeze_bases_after=0)
    weight, bases = model[0].weight.detach().clone(), {m: f.clone() for m, f in model[0].factors.items()}
    (0 * model(torch.ones(1, 6))).sum().backward()
    optimizer.step()
    torch.testing.assert_close(model[0].weight.detach(), 0.95 * weight)
    assert all(torch.equal(model[0].factors[mode], basis) for mode, basis in bases.items())


def test_clipping_counts_and_scales_what_the_inner_optimiser_sees():
    model = network()
    optimizer = tdlrt(model)
    F.cross_entropy(model(batch(0)[0]), batch(0)[1]).backward()
    basis = model[4].factors[0].grad.clone()
    inner = [p.grad for n, p in model.named_parameters() if "factor" not in n]
    norm = torch.stack([g.norm() for g in inner]).norm()
    assert float(optimizer.clip_grad_norm_(1e-3)) == pytest.approx(float(norm), rel=1e-5)
    assert float(torch.stack([g.norm() for g in inner]).norm()) == pytest.approx(1e-3, rel=1e-3)
    assert torch.equal(model[4].factors[0].grad, basis)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("where", ["4.core", "0.factor_0", "1.weight"])
@pytest.mark.parametrize("steps_before", [0, 4, 5], ids=["first", "basis-step", "core-step"])
def test_non_finite_gradients_stop_before_any_state_changes(value, where, steps_before):
    model = network()
    optimizer = tdlrt(model, torch.optim.Adam)
    for seed in range(steps_before):
        one_step(model, optimizer, seed)
    x, y = batch(9)
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    before = snapshot(model)
    state = {p: {k: torch.as_tensor(v).clone() for k, v in s.items()} for p, s in optimizer.state.items()}
    dict(model.named_parameters())[where].grad.flatten()[0] = value
    with pytest.raises(NonFiniteError, match=f"step {steps_before + 1} the gradient of {where} "):
        optimizer.step()
    assert same(before, snapshot(model))
    assert optimizer.steps_done == steps_before
    for parameter, entries in state.items():
        assert all(torch.equal(torch.as_tensor(optimizer.state[parameter][k]), v) for k, v in entries.items())
    one_step(model, optimizer, 10)  # and the next step goes on


def test_a_second_pass_that_fails_is_undone():
    model = network()
    optimizer = tdlrt(model, torch.optim.Adam, core_steps=1)
    for seed in range(3):
        one_step(model, optimizer, seed, closure=True)
    x, y = batch(9)
    calls = []

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        calls.append(1)
        if len(calls) == 2:
            model[4].core.grad[0, 0] = float("nan")
        return loss

    before = {
        name: value
        for name, value in snapshot(model).items()
        if "running" not in name and "num_b" not in name
    }
    moments = optimizer.state[model[4].core]["exp_avg"].clone()
    with pytest.raises(NonFiniteError, match=r"4\.core"):
        optimizer.step(closure)
    after = snapshot(model)
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert torch.equal(optimizer.state[model[4].core]["exp_avg"], moments)
    one_step(model, optimizer, 10, closure=True)


def test_a_core_that_overflows_is_named():
    model = network()
    optimizer = tdlrt(model)
    for seed in range(3):
        one_step(model, optimizer, seed)
    model[4].core.data[0, 0] = float("inf")
    with pytest.raises(NonFiniteError, match=r"after step 3 the core of 4 holds"):
        optimizer.truncate()


def test_the_second_pass_repeats_dropout_and_leaves_batch_norm_alone():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(10, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 3))
    factorize(model, 0.5)
    optimizer = tdlrt(model, core_steps=1)
    x, y = torch.randn(16, 10), torch.randint(0, 3, (16,))
    losses = []

    def closure():
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        losses.append(float(loss.detach()))
        return loss

    optimizer.step(closure)
    assert losses[1] == pytest.approx(losses[0], rel=1e-5)
    assert int(model[1].num_batches_tracked) == 1


def test_bases_stay_orthonormal_over_many_truncations():
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(Linear(30, 20, rank=6, generator=generator))
    optimizer = tdlrt(model, core_steps=1, tolerance=0.05, lr=0.3)
    target = torch.randn(20, 30, generator=generator)
    for _ in range(1500):
        x = torch.randn(16, 30, generator=generator)
        optimizer.zero_grad()
        F.mse_loss(model(x), x @ target.mT).backward()
        optimizer.step()
    optimizer.truncate()
    assert float(model[0].tucker.orthonormality_defect()) <= 1e-5


def test_a_generic_model_is_brought_to_form_without_changing_its_function():
    model = network(dtype=torch.float64)
    layer = model[4]
    with torch.no_grad():
        scale = torch.diag(torch.linspace(0.5, 2, layer.ranks[0], dtype=torch.float64))
        layer.factors[0].copy_(layer.factors[0] @ scale)
    before = layer.weight.detach().clone()
    tdlrt(model)
    assert float(layer.tucker.orthonormality_defect()) < 1e-13
    assert layer.tucker.is_rotated()
    torch.testing.assert_close(layer.weight.detach(), before)


def test_gradients_of_parameters_outside_the_model_are_watched_too():
    model = network()
    temperature = nn.Parameter(torch.ones(()))
    optimizer = tdlrt(model)
    optimizer.add_param_group({"params": [temperature]})
    (temperature * F.cross_entropy(model(batch(0)[0]), batch(0)[1])).backward()
    temperature.grad.fill_(float("nan"))
    with pytest.raises(NonFiniteError, match="parameter 0 of group 1"):
        optimizer.step()
    assert float(temperature.detach()) == 1


def test_buffers_that_a_forward_replaces_are_counted_once():
    class Counting(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = Linear(6, 5, rank=2)
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x):
            self.calls = self.calls + 1
            return self.linear(x)

    torch.manual_seed(0)
    model = Counting()
    optimizer = tdlrt(model, core_steps=1)

    def closure():
        optimizer.zero_grad()
        loss = model(torch.ones(3, 6)).square().mean()
        loss.backward()
        return loss

    for _ in range(3):
        optimizer.step(closure)
    assert int(model.calls) == 3


def test_max_rank_goes_before_min_rank():
    layer, _, _ = fit_low_rank_target(6, 4, min_rank=5, max_rank=2)
    assert layer.ranks == (2, 2)
