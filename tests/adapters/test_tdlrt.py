"""TDLRT trains low-rank adapters, and one budget finds their ranks."""

import pytest
import torch
from tests.adapters.networks import network
from torch import nn

import rankfold as rf
from rankfold import adapters


def task():
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(256, 12, generator=generator)
    return x, torch.randint(0, 5, (256,), generator=generator)


@pytest.mark.parametrize("integrator", ["parallel", "augmented"])
def test_the_budget_holds_after_every_step(integrator):
    model, (x, y) = network(), task()
    frozen = {name: p.clone() for name, p in model.named_parameters()}
    adapters.attach(model, 3, generator=torch.Generator().manual_seed(0))
    optimizer = rf.TDLRT(
        model,
        torch.optim.Adam,
        lr=0.02,
        integrator=integrator,
        core_steps=1,
        tolerance=0.0,
        parameter_budget=260,
    )
    losses = []
    for _ in range(40):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        assert sum(layer.tucker.num_parameters for layer in optimizer.layers.values()) <= 260
    assert losses[-1] < losses[0] - 0.05
    for name, value in frozen.items():
        assert torch.equal(
            model.get_parameter(name.replace(".weight", ".base.weight").replace(".bias", ".base.bias")), value
        )


def test_the_first_step_from_a_zero_core_moves():
    model, (x, y) = network(), task()
    adapters.attach(model, 2)
    optimizer = rf.TDLRT(model, torch.optim.SGD, lr=0.1, integrator="parallel", core_steps=1)
    for step in range(2):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
        assert all(layer.core.norm() > 0 for layer in optimizer.layers.values()), step
        assert all(layer.tucker.orthonormality_defect() < 1e-5 for layer in optimizer.layers.values())


def test_a_run_is_taken_up_where_it_stopped(tmp_path):
    x, y = task()

    def trained(model, optimizer, steps):
        for _ in range(steps):
            optimizer.zero_grad()
            nn.functional.cross_entropy(model(x), y).backward()
            optimizer.step()

    def built():
        model = network()
        adapters.attach(model, 3, generator=torch.Generator().manual_seed(0))
        return model, rf.TDLRT(
            model, torch.optim.Adam, lr=0.02, integrator="parallel", core_steps=1, parameter_budget=300
        )

    model, optimizer = built()
    trained(model, optimizer, 5)
    rf.save(model, tmp_path / "run.safetensors", optimizer=optimizer)
    trained(model, optimizer, 5)
    again, other = built()
    rf.load(again, tmp_path / "run.safetensors", optimizer=other)
    trained(again, other, 5)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
