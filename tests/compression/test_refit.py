"""The second fit: what it solves, what it leaves alone, and that it pays."""

import copy

import pytest
import torch
from torch import nn

import rankfold as rf
from rankfold import OptionError
from rankfold.compression._moments import collect_moments
from rankfold.compression._refit import Refit, refit_layers
from rankfold.compression._weighted import CalibratedWeight


def network() -> nn.Sequential:
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(128, 5),
    ).double()


def batches(count: int = 6) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    return [torch.randn(40, 3, 4, 4, generator=generator).double() + 0.5 for _ in range(count)]


def test_inputs_that_a_weight_can_undo_are_undone() -> None:
    """After a first layer that is scaled, the fit of the second one restores the function."""
    torch.manual_seed(0)
    dense = nn.Sequential(nn.Linear(6, 6), nn.Linear(6, 4)).double()
    model = copy.deepcopy(dense)
    rf.factorize(model, 1.0, include=["1"])
    model[0].weight.data *= 0.5
    model[0].bias.data *= 0.5
    data = [torch.randn(4000, 6).double()]
    key = id(dense[1].weight)
    moments = collect_moments(dense, {key: [dense[1]]}, {key: (1, 0)}, data)[0][key]
    refit_layers(
        model,
        dense,
        [Refit("1", dense[1], model[1], CalibratedWeight(dense[1].weight.detach(), moments))],
        data,
    )
    change = (model(data[0]) - dense(data[0])).norm() / dense(data[0]).norm()
    assert float(change.detach()) < 0.05  # what is left is the pull towards the dense weight
    torch.testing.assert_close(model[1].weight, 2 * dense[1].weight, rtol=0.15, atol=0.05)


def test_nothing_to_undo_changes_nothing() -> None:
    model, data = network(), batches()
    dense = copy.deepcopy(model)
    rf.compress(model, 1.0, calibration=data, fold=False)
    torch.testing.assert_close(model(data[0]), dense(data[0]), rtol=1e-6, atol=1e-6)


def test_outputs_come_closer() -> None:
    data, held_out = batches(), batches(7)[-1]
    dense, changes = network(), []
    for refit in (False, True):
        model = network()
        rf.compress(model, rf.Budget(params=0.4), calibration=data, refit=refit)
        changes.append(float((model(held_out) - dense(held_out)).detach().norm()))
    assert changes[1] < changes[0]


def test_the_dense_model_and_all_flags_stay() -> None:
    model, data = network().train(), batches(2)
    dense = copy.deepcopy(model)
    state = copy.deepcopy(dense.state_dict())
    rf.factorize(model, 2)
    key = id(dense[2].weight)
    moments = collect_moments(dense, {key: [dense[2]]}, {key: (1, 0)}, data)[0][key]
    seen = []
    layers = [Refit("2", dense[2], model[2], CalibratedWeight(dense[2].weight.detach(), moments))]
    refit_layers(model, dense, layers, data, on_layer=lambda done, count: seen.append((done, count)))
    assert seen == [(1, 1)]
    assert all(torch.equal(value, state[name]) for name, value in dense.state_dict().items())
    assert all(module.training for network in (model, dense) for module in network.modules())
    assert not any(module._forward_pre_hooks for module in model.modules())
    assert float(model[2].tucker.orthonormality_defect()) < 1e-12


@pytest.mark.parametrize("limit", [10, 10_000])
def test_large_layers_are_fitted_by_channel(limit: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rankfold.compression._moments._LARGEST_JOINT", limit)
    data, dense, model = batches(), network(), network()
    rf.compress(model, rf.Budget(params=0.5), calibration=data)
    change = (model(data[0]) - dense(data[0])).norm() / dense(data[0]).norm()
    assert float(change.detach()) < 0.75


def test_a_second_reading_needs_data_that_can_be_read_again() -> None:
    model = network()
    with pytest.raises(
        OptionError, match=r"generator, which can be read only once; pass a list.*refit=False"
    ):
        rf.compress(model, rf.Budget(params=0.5), calibration=(batch for batch in batches()))
    assert isinstance(model[0], nn.Conv2d)
    rf.compress(model, rf.Budget(params=0.5), calibration=(batch for batch in batches()), refit=False)
    assert isinstance(model[2], nn.Sequential)
