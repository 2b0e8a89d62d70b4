"""Model, optimiser and schedule in one file: a run taken up again is the run that was never interrupted."""

import copy
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from tests.training.networks import network, one_step, same, snapshot, tdlrt
from torch import nn
from torch.optim import Optimizer

from rankfold import CheckpointError, load, save, set_ranks

MAKE: dict[str, Callable[[nn.Module], Optimizer]] = {
    "sgd": lambda m: torch.optim.SGD(m.parameters(), lr=0.05, momentum=0.9),
    "adamw": lambda m: torch.optim.AdamW(m.parameters(), lr=0.01, amsgrad=True),
    "adagrad": lambda m: torch.optim.Adagrad(m.parameters(), lr=0.05),
    "tdlrt": tdlrt,
    "tdlrt, adam": lambda m: tdlrt(m, torch.optim.Adam, core_steps=2),
    "tdlrt, exact": lambda m: tdlrt(m, core_steps=1, tolerance=0.05),
    "fused": lambda m: torch.optim.AdamW(m.parameters(), lr=0.01, fused=True),
    "tdlrt, parallel, fused": lambda m: tdlrt(m, torch.optim.AdamW, integrator="parallel", fused=True),
    "tdlrt, parallel": lambda m: tdlrt(m, integrator="parallel"),
    "tdlrt, fixed": lambda m: tdlrt(m, integrator="fixed", tolerance_warmup=5),
}


def schedule(optimizer: Optimizer) -> torch.optim.lr_scheduler.LRScheduler:
    first = torch.optim.lr_scheduler.LinearLR(optimizer, total_iters=5)
    second = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)
    return torch.optim.lr_scheduler.SequentialLR(optimizer, [first, second], milestones=[5])


def steps(model: nn.Module, optimizer: Optimizer, scheduler: object, seeds: range) -> None:
    for seed in seeds:
        one_step(model, optimizer, seed)
        scheduler.step()


@pytest.mark.parametrize("make", MAKE)
@pytest.mark.parametrize("stop", [0, 4, 6])
def test_a_resumed_run_equals_the_uninterrupted_one_bit_for_bit(tmp_path: Path, make: str, stop: int) -> None:
    path = tmp_path / "run.safetensors"
    model = network(rank=3)
    optimizer = MAKE[make](model)
    scheduler = schedule(optimizer)
    steps(model, optimizer, scheduler, range(stop))
    if stop == 6 and make not in ("adagrad", "tdlrt, fixed"):
        set_ranks(model, {"4": 4}, optimizer=optimizer)
    save(model, path, optimizer=optimizer, scheduler=scheduler)
    steps(model, optimizer, scheduler, range(stop, 14))

    resumed = network(seed=1, rank=2)
    again = MAKE[make](resumed)
    plan = schedule(again)
    parameters = list(resumed.parameters())
    load(resumed, path, optimizer=again, scheduler=plan)
    assert all(one is two for one, two in zip(parameters, resumed.parameters(), strict=True))
    steps(resumed, again, plan, range(stop, 14))
    assert same(snapshot(model), snapshot(resumed))
    assert optimizer.param_groups[0]["lr"] == again.param_groups[0]["lr"]
    states = [o.state_dict()["state"] for o in (optimizer, again)]
    torch.testing.assert_close(states[0], states[1], rtol=0, atol=0)


@pytest.mark.parametrize("stop", [4, 6])
def test_from_a_dense_skeleton_one_loads_twice(tmp_path: Path, stop: int) -> None:
    from rankfold import densify

    path = tmp_path / "run.safetensors"
    model = network(rank=3)
    optimizer = tdlrt(model)
    for seed in range(stop):
        one_step(model, optimizer, seed)
    save(model, path, optimizer=optimizer)
    resumed = densify(network(seed=1))
    before = snapshot(resumed)
    with pytest.raises(CheckpointError, match="load without it, build the optimiser, and load with it"):
        load(resumed, path, optimizer=torch.optim.SGD(resumed.parameters(), lr=1))
    assert same(before, snapshot(resumed))
    load(resumed, path)
    again = tdlrt(resumed)
    load(resumed, path, optimizer=again)
    for seed in range(stop, 12):
        for m, o in ((model, optimizer), (resumed, again)):
            one_step(m, o, seed)
    assert same(snapshot(model), snapshot(resumed))


def test_the_model_alone_can_be_taken_from_it(tmp_path: Path) -> None:
    model = network()
    optimizer = MAKE["adamw"](model)
    one_step(model, optimizer, 0)
    save(model, tmp_path / "run", optimizer=optimizer, scheduler=schedule(optimizer))
    other = network(seed=1)
    load(other, tmp_path / "run")
    assert same(snapshot(model), snapshot(other))


def other_class(model: nn.Module) -> Optimizer:
    return torch.optim.Adam(model.parameters())


def other_inner_class(model: nn.Module) -> Optimizer:
    return tdlrt(model, torch.optim.AdamW)


def fewer_parameters(model: nn.Module) -> Optimizer:
    return torch.optim.SGD(list(model.parameters())[2:], lr=1, momentum=0.9)


def other_order(model: nn.Module) -> Optimizer:
    return torch.optim.SGD(list(model.parameters())[::-1], lr=1, momentum=0.9)


def frozen(model: nn.Module) -> Optimizer:
    model[4].requires_grad_(False)
    return tdlrt(model)


@pytest.mark.parametrize(
    ("saved", "build", "message"),
    [
        ("sgd", other_class, "of class 'SGD', got one of class 'Adam'"),
        ("tdlrt", other_inner_class, "saved with inner optimiser SGD, this one has AdamW"),
        ("sgd", fewer_parameters, "it lacks '0.factor_0', '0.factor_1'"),
        ("sgd", other_order, "their order or groups differ"),
        ("tdlrt", frozen, "it lacks '4.bias', '4.core', '4.factor_0' and 1 more"),
        (None, MAKE["sgd"], r"holds no optimizer; save one with rankfold.save\(model, path, optimizer=...\)"),
    ],
)
def test_another_optimiser_is_refused_and_all_stays(
    tmp_path: Path, saved: str | None, build: Callable[[nn.Module], Optimizer], message: str
) -> None:
    model = network(rank=3)
    optimizer = None
    if saved is not None:
        optimizer = MAKE[saved](model)
        one_step(model, optimizer, 0)
    save(model, tmp_path / "run", optimizer=optimizer)
    other = network(seed=1, rank=2)
    given = build(other)
    one_step(other, given, 0)
    before, state = snapshot(other), copy.deepcopy(given.state_dict())
    with pytest.raises(CheckpointError, match=message):
        load(other, tmp_path / "run", optimizer=given)
    assert same(before, snapshot(other))
    assert_same_state(given.state_dict(), state)


def assert_same_state(one: dict, two: dict) -> None:
    torch.testing.assert_close(one["state"], two["state"], rtol=0, atol=0)
    assert one.get("tdlrt") == two.get("tdlrt")
    assert one["param_groups"] == two["param_groups"]


def test_a_schedule_that_fails_undoes_model_and_optimiser(tmp_path: Path) -> None:
    class Failing(torch.optim.lr_scheduler.StepLR):
        def load_state_dict(self, state_dict: dict) -> None:
            super().load_state_dict(state_dict)
            if state_dict["last_epoch"] == 3:
                raise RuntimeError("no")

    model = network(rank=3)
    optimizer = tdlrt(model)
    plan = Failing(optimizer, 1)
    steps(model, optimizer, plan, range(3))
    save(model, tmp_path / "run", optimizer=optimizer, scheduler=plan)
    other = network(seed=1, rank=2)
    given = tdlrt(other)
    its = Failing(given, 1)
    steps(other, given, its, range(2))
    twin, its_optimizer = copy.deepcopy((other, given))
    state = copy.deepcopy(given.state_dict())
    with pytest.raises(CheckpointError, match=r"cannot be loaded \(no\)"):
        load(other, tmp_path / "run", optimizer=given, scheduler=its)
    assert its.last_epoch == 2
    assert same(snapshot(other), snapshot(twin))
    assert_same_state(given.state_dict(), state)
    for seed in range(2, 9):  # in the middle of a cycle, which goes on
        for m, o in ((other, given), (twin, its_optimizer)):
            one_step(m, o, seed)
    assert same(snapshot(other), snapshot(twin))


def test_states_that_cannot_be_written(tmp_path: Path) -> None:
    model = nn.Linear(2, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=1)
    optimizer.param_groups[0]["thing"] = object()
    with pytest.raises(CheckpointError, match="holds an object of type object, allowed are tensors"):
        save(model, tmp_path / "run", optimizer=optimizer)
    optimizer.param_groups[0]["thing"] = loop = []
    loop.append(loop)
    with pytest.raises(CheckpointError, match="holds itself"):
        save(model, tmp_path / "run", optimizer=optimizer)
    assert list(tmp_path.iterdir()) == []
