"""A monitor sees what the parts of the package say, and nothing notices that it looks."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import rankfold as rf
from rankfold.diagnostics import (
    LayerState,
    TrainingMonitor,
    UpdateRank,
    hessian_norms,
    laziness,
    pair_balance,
    suggested_ranks,
    weight_spectra,
)


def _network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(1, 4, 3),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Flatten(),
        nn.Linear(4 * 6 * 6, 12),
        nn.ReLU(),
        nn.Linear(12, 3),
    )


def _batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return torch.randn(16, 1, 8, 8, generator=generator), torch.randint(0, 3, (16,), generator=generator)


def _step(model: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    x, y = _batch()
    optimizer.zero_grad()
    F.cross_entropy(model(x), y).backward()
    optimizer.step()


def test_it_sees_what_the_parts_say() -> None:
    model, (x, y) = _network().eval(), _batch()
    start = {name: value.clone() for name, value in model.state_dict().items()}
    update, monitor = UpdateRank(model), TrainingMonitor(model, lambda: F.cross_entropy(model(x), y))
    _step(model, torch.optim.SGD(model.parameters(), lr=0.5))
    monitor(7)
    states = {state.layer: state for state in monitor.states}
    assert list(states) == ["0", "5", "7"]
    assert {state.step for state in monitor.states} == {7}
    spectra, moved = weight_spectra(model), laziness(model, start)
    norms = hessian_norms(
        lambda: F.cross_entropy(model(x), y), model, iterations=10, generator=torch.Generator().manual_seed(0)
    )
    for name, state in states.items():
        assert state.rank == suggested_ranks(spectra, 0.99)[name]
        assert state.update_rank == suggested_ranks(update.spectra(), 0.99)[name]
        assert state.stable_rank == max(one.stable_rank for one in spectra if one.name == name)
        assert state.movement == pytest.approx(moved[f"{name}.weight"], rel=1e-5)
        assert state.curvature == max(norms[f"{name}.weight"], norms[f"{name}.bias"])
        assert state.imbalance is None


def test_nothing_has_changed_at_the_start_and_without_a_loss_there_is_no_curvature() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3))
    nn.init.zeros_(model[1].weight)  # pyright: ignore[reportArgumentType]
    monitor = TrainingMonitor(model)
    monitor(0)
    assert [(state.update_rank, state.movement, state.curvature) for state in monitor.states] == [
        (0, 0.0, None),
        (0, None, None),
    ]


def test_other_steps_are_passed_over() -> None:
    monitor = TrainingMonitor(nn.Linear(3, 3), every=4)
    for step in range(10):
        monitor(step)
    assert [(state.step, state.layer) for state in monitor.states] == [(0, ""), (4, ""), (8, "")]


@pytest.mark.parametrize("core_steps", [1, 3])
def test_the_training_does_not_notice(core_steps: int) -> None:
    def trained(watched: bool) -> tuple[dict[str, Tensor], Tensor]:
        model, (x, y) = _network(), _batch()
        rf.factorize(model, 0.5)
        optimizer = rf.TDLRT(model, torch.optim.SGD, lr=0.1, momentum=0.9, core_steps=core_steps)
        monitor = TrainingMonitor(model, lambda: F.cross_entropy(model(x), y))
        for step in range(6):
            if watched:
                monitor(step)
            _step(model, optimizer)
        assert all(module.training for module in model.modules())
        assert all(state.imbalance is None for state in monitor.states)  # bases are kept orthonormal
        return model.state_dict(), torch.get_rng_state()

    (first, state), (second, other) = trained(False), trained(True)
    assert list(first) == list(second)
    assert [name for name in first if not torch.equal(first[name], second[name])] == []
    assert torch.equal(state, other)


def test_gradients_in_the_middle_of_a_step_stay() -> None:
    model, (x, y) = _network(), _batch()
    monitor = TrainingMonitor(model, lambda: F.cross_entropy(model(x), y))
    F.cross_entropy(model(x), y).backward()
    before = [parameter.grad for parameter in model.parameters()]
    copies = [gradient.clone() for gradient in before if gradient is not None]
    monitor(0)
    after = [parameter.grad for parameter in model.parameters()]
    assert all(one is two for one, two in zip(before, after, strict=True))
    assert all(torch.equal(one, two) for one, two in zip(copies, after, strict=True) if two is not None)


def test_factors_that_are_trained_freely_fall_out_of_balance() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 5))
    rf.factorize(model, 3)
    monitor = TrainingMonitor(model)
    monitor(0)
    layer: Any = model[0]
    with torch.no_grad():
        for factor in layer.factors.values():
            factor.mul_(2)
    monitor(1)
    first, second = layer.tucker.factors
    assert monitor.states[0].imbalance is None
    assert monitor.states[1].imbalance == pytest.approx(
        pair_balance((first @ layer.core).detach(), second.mT.detach())
    )


def test_the_file_is_one_line_a_state(tmp_path: Path) -> None:
    monitor = TrainingMonitor(nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 2)))
    monitor(0)
    monitor(5)
    file = monitor.write(tmp_path / "diagnostics.jsonl")
    lines = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    assert [LayerState(**line) for line in lines] == monitor.states
    assert lines == [asdict(state) for state in monitor.states]
    assert [path.name for path in tmp_path.iterdir()] == ["diagnostics.jsonl"]


def test_what_it_does_not_take() -> None:
    model: Any = nn.Linear(3, 3)
    for wrong in ({"loss": 3}, {"every": 0}, {"iterations": 1.5}):
        with pytest.raises(rf.OptionError, match="TrainingMonitor"):
            TrainingMonitor(model, **wrong)
    with pytest.raises(rf.OptionError, match="UpdateRank"):
        TrainingMonitor(nn.ReLU())
    with pytest.raises(rf.OptionError, match=r"TrainingMonitor\.write"):
        TrainingMonitor(model).write(3)  # pyright: ignore[reportArgumentType]


def test_what_is_not_finite_is_told_and_the_model_is_as_it_was() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Dropout())
    monitor = TrainingMonitor(model)
    with torch.no_grad():
        model[0].get_parameter("weight")[0, 0] = torch.nan
    with pytest.raises(rf.NonFiniteError, match="NaN"):
        monitor(0)
    assert monitor.states == []
    assert all(module.training for module in model.modules())


def test_layers_that_go_are_left_out_and_others_than_at_the_start_are_refused() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 4))
    monitor = TrainingMonitor(model)
    for other in (nn.Linear(8, 6), nn.Sequential(nn.Linear(8, 4))):
        model[1] = other
        with pytest.raises(rf.ShapeError, match="make a new one"):
            monitor(0)
    assert monitor.states == []
    model[1] = nn.Identity()
    monitor(0)
    assert [state.layer for state in monitor.states] == ["0"]
