"""When cycles begin (``basis_every``) and where ranks end (``rank_quantum``)."""

import io

import pytest
import torch
import torch.nn.functional as F
from tests.training.networks import batch, network, one_step, same, snapshot, tdlrt, weights
from tests.training.problems import random_tensor, relative
from torch import nn

from rankfold import OptionError
from rankfold.convert import factorized_layers
from rankfold.layers import Conv2d, Linear


def bases(model):
    return {name: value for name, value in snapshot(model).items() if "factor" in name or "ranks" in name}


def cycles(optimizer, model, steps, **options):
    """After each step, the steps at which the latest truncation was, and whether the bases moved."""
    found = []
    for seed in range(steps):
        before = bases(model)
        one_step(model, optimizer, seed, **options)
        moved = not same(before, bases(model))
        found.append((max((record.step for record in optimizer.records.values()), default=0), moved))
    return found


@pytest.mark.parametrize("closure", [False, True])
@pytest.mark.parametrize("integrator", ["augmented", "parallel"])
def test_every_third_step_is_a_cycle(integrator, closure):
    model = network()
    optimizer = tdlrt(model, core_steps=1, basis_every=3, integrator=integrator)
    found = cycles(optimizer, model, 8, closure=closure)
    assert found == [
        (1, True),
        (1, False),
        (1, False),
        (4, True),
        (4, False),
        (4, False),
        (7, True),
        (7, False),
    ]


def test_cores_and_dense_parameters_train_in_between():
    model = network()
    optimizer = tdlrt(model, torch.optim.AdamW, core_steps=1, basis_every=4)
    one_step(model, optimizer, 0)
    for seed in range(1, 4):
        before = snapshot(model)
        one_step(model, optimizer, seed)
        for name, value in snapshot(model).items():
            assert torch.equal(value, before[name]) == ("factor" in name or "ranks" in name), name


def test_steps_in_between_are_those_of_the_inner_optimiser():
    """A core step in fixed bases is plain descent on the core."""
    model = network(dtype=torch.float64).eval()
    optimizer = tdlrt(model, core_steps=1, basis_every=3, momentum=0.0, lr=0.1)
    one_step(model, optimizer, 0)
    x, y = batch(1, dtype=torch.float64)
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    expected = {name: layer.core.detach() - 0.1 * layer.core.grad for name, layer in factorized_layers(model)}
    optimizer.step()
    for name, layer in factorized_layers(model):
        torch.testing.assert_close(layer.core.detach(), expected[name], rtol=1e-13, atol=1e-14)


def test_longer_cycles_begin_at_multiples_too():
    model = network()
    optimizer = tdlrt(model, core_steps=3, basis_every=6)
    found = cycles(optimizer, model, 14)
    assert [step for step, _ in found] == [0, 0, 0, 4, 4, 4, 4, 4, 4, 10, 10, 10, 10, 10]
    assert [moved for _, moved in found] == [step in (1, 4, 7, 10, 13) for step in range(1, 15)]


def test_a_cycle_longer_than_the_period_waits_for_the_next_multiple():
    model = network()
    optimizer = tdlrt(model, core_steps=3, basis_every=3)
    assert [step for step, _ in cycles(optimizer, model, 11)] == [0, 0, 0, 4, 4, 4, 4, 4, 4, 10, 10]


def test_rare_basis_steps_with_and_without_closure_are_the_same():
    models = []
    for closure in (False, True):
        model = network(dtype=torch.float64)
        optimizer = tdlrt(model, core_steps=1, basis_every=2)
        for seed in range(5):
            one_step(model, optimizer, seed, closure=closure)
        models.append(model)
    for name, value in weights(models[0]).items():
        torch.testing.assert_close(weights(models[1])[name], value, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("stop", [3, 4, 5])
@pytest.mark.parametrize("inner", [torch.optim.SGD, torch.optim.AdamW])
def test_resuming_keeps_the_rhythm_bit_for_bit(inner, stop):
    options = {"core_steps": 1, "basis_every": 3}
    model = network(rank=2)
    optimizer = tdlrt(model, inner, **options)
    for seed in range(stop):
        one_step(model, optimizer, seed)
    saved = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, saved)
    saved.seek(0)
    states = torch.load(saved, weights_only=True)
    resumed = network(seed=1, rank=3)
    again = tdlrt(resumed, inner, **options)
    resumed.load_state_dict(states["model"])
    again.load_state_dict(states["optimizer"])
    for seed in range(stop, 10):
        one_step(model, optimizer, seed)
        one_step(resumed, again, seed)
    assert same(snapshot(model), snapshot(resumed))
    assert {record.step for record in again.records.values()} == {10}


def test_freezing_between_two_cycles():
    model = network()
    optimizer = tdlrt(model, core_steps=1, basis_every=3, freeze_bases_after=3)
    assert [step for step, _ in cycles(optimizer, model, 8)] == [1] * 8


def target(rank):
    """Of the rank, and a little noise that no tolerance sees, so that gradients offer directions enough."""
    noise = 1e-3 * random_tensor(32, 40, seed=3)
    return random_tensor(32, rank, seed=1) @ random_tensor(rank, 40, seed=2) + noise


def fitted(layer, goal, steps=60, **options):
    """Least squares towards a matrix."""
    model = nn.Sequential(layer.double())
    optimizer = tdlrt(model, core_steps=1, momentum=0.0, lr=1.0, **options)
    for _ in range(steps):
        optimizer.zero_grad()
        (0.5 * (model(torch.eye(40, dtype=torch.float64)) - goal.mT).square().sum()).backward()
        optimizer.step()
        yield model[0], optimizer.records["0"]


@pytest.mark.parametrize("wanted", [3, 8, 11])
def test_ranks_are_rounded_up_to_the_quantum(wanted):
    torch.manual_seed(0)
    for layer, record in fitted(
        Linear(40, 32, rank=4, bias=False), target(wanted), tolerance=0.01, rank_quantum=8
    ):
        assert record.truncation_error <= 0.01
        assert layer.ranks == record.ranks
    assert layer.ranks == (-(-wanted // 8) * 8,) * 2
    assert relative(layer.weight, target(wanted)) < 0.02


def test_the_rounded_rank_is_the_next_multiple_above_that_without_a_quantum():
    """From the same state, one step with and one without."""
    for seed in range(3):
        ranks = []
        for quantum in (1, 4):
            torch.manual_seed(seed)
            model = nn.Sequential(Conv2d(24, 20, 3, rank=(9, 11))).double()
            optimizer = tdlrt(model, core_steps=1, lr=1.0, tolerance=0.3, rank_quantum=quantum)
            model(random_tensor(4, 24, 5, 5, seed=seed)).square().sum().backward()
            optimizer.step()
            ranks.append(model[0].ranks[:2])
            assert optimizer.records["0"].truncation_error <= 0.3
        assert ranks[1] == tuple(-(-rank // 4) * 4 for rank in ranks[0])


def test_where_the_widened_basis_has_no_multiple_the_tolerance_decides():
    torch.manual_seed(0)
    _, record = next(fitted(Linear(40, 32, rank=3, bias=False), target(20), tolerance=0.01, rank_quantum=16))
    assert record.ranks == (6, 6)  # the widened basis has six columns, and all are needed
    torch.manual_seed(0)
    *_, (layer, _) = fitted(
        Linear(40, 12, rank=3, bias=False), target(20)[:12], tolerance=0.01, rank_quantum=8
    )
    assert layer.ranks == (12, 12)


def test_the_largest_rank_goes_before_the_quantum():
    torch.manual_seed(0)
    for layer, _ in fitted(
        Linear(40, 32, rank=8, bias=False), target(20), tolerance=0.01, rank_quantum=8, max_rank=13
    ):
        assert max(layer.ranks) <= 13
    torch.manual_seed(0)
    *_, (layer, _) = fitted(
        Linear(40, 32, rank=8, bias=False), target(1), tolerance=0.01, rank_quantum=8, min_rank=9
    )
    assert layer.ranks == (16, 16)


@pytest.mark.parametrize("integrator", ["augmented", "parallel"])
@pytest.mark.parametrize("core_steps", [1, 3])
def test_the_quantum_serves_every_cycle(core_steps, integrator):
    model = network(rank=4)
    optimizer = tdlrt(model, core_steps=core_steps, integrator=integrator, rank_quantum=4, tolerance=0.2)
    for seed in range(8):
        one_step(model, optimizer, seed)
    optimizer.truncate()
    assert all(rank % 4 == 0 for rank in model[4].ranks)
    assert all(record.truncation_error <= 0.2 for record in optimizer.records.values())


@pytest.mark.parametrize("name", ["basis_every", "rank_quantum"])
@pytest.mark.parametrize("value", [0, -3, 1.5, True, "8", None])
def test_options_out_of_range_are_refused(name, value):
    with pytest.raises(OptionError, match=f"{name} must be a whole number of at least 1, got {value!r}"):
        tdlrt(network(), **{name: value})
