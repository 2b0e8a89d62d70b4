from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.ranks.weights import answers, folded_parameters, ranks, views
from torch import nn

import rankfold as rf


def pair() -> nn.Sequential:
    """Two layers alike, one behind the other."""
    return nn.Sequential(nn.Linear(16, 16, bias=False), nn.Linear(16, 16, bias=False))


def change_of(model: nn.Sequential, weights: list[float]) -> Callable[[nn.Module], float]:
    """A loss that is a weighted sum of the squared changes of the layers."""
    before = [layer.weight.detach().clone() for layer in model]

    def loss(changed: nn.Module) -> float:
        assert isinstance(changed, nn.Sequential)
        parts = zip(weights, changed, before, strict=True)
        return sum(weight * float((layer.weight - old).square().sum()) for weight, layer, old in parts)

    return loss


def test_the_layer_that_matters_gets_the_ranks() -> None:
    model = pair()
    model[1].load_state_dict(model[0].state_dict())
    # 256 parameters, 32 a rank: all but one rank go to the layer that matters.
    assert ranks(model, rf.Sensitivity(change_of(model, [1.0, 0.01]), params=0.5)) == [(7, 7), (1, 1)]
    assert ranks(model, rf.Sensitivity(change_of(model, [0.01, 1.0]), params=0.5)) == [(1, 1), (7, 7)]


def test_equal_layers_that_matter_alike_get_equal_ranks() -> None:
    model = pair()
    model[1].load_state_dict(model[0].state_dict())
    loss = change_of(model, [1.0, 1.0])
    assert ranks(model, rf.Sensitivity(loss, params=0.5)) == ranks(model, rf.Budget(params=0.5))


@settings(max_examples=10)
@given(st.integers(2, 10), st.floats(0.2, 1.0))
def test_it_keeps_the_budget_and_counts_its_evaluations(levels: int, share: float) -> None:
    model, calls = pair(), []
    model.double()
    loss = change_of(model, [1.0, 2.0])

    def counted(changed: nn.Module) -> float:
        assert not torch.is_grad_enabled()
        calls.append(1)
        return loss(changed)

    assert folded_parameters(model, rf.Sensitivity(counted, share, levels)) <= share * 512
    assert 1 + 2 * 2 <= len(calls) <= 1 + 2 * min(levels, 7)  # ranks 1 to 7 save parameters


def test_one_weight_changes_at_a_time_and_comes_back_bit_for_bit() -> None:
    model = pair()
    before = [layer.weight.detach().clone() for layer in model]
    pointers = [layer.weight.data_ptr() for layer in model]
    changes = []

    def loss(changed: nn.Module) -> float:
        changes.append([not torch.equal(layer.weight, old) for layer, old in zip(model, before, strict=True)])
        return 0.0

    rf.Sensitivity(loss, params=0.5, levels=2).choose(views(model))
    assert changes == [[False, False], [True, False], [True, False], [False, True], [False, True]]
    assert all(torch.equal(layer.weight, old) for layer, old in zip(model, before, strict=True))
    assert [layer.weight.data_ptr() for layer in model] == pointers


@pytest.mark.parametrize(
    "failure", [float("nan"), float("inf"), "a string", None, torch.zeros(3), KeyError("user")]
)
def test_after_a_failure_the_weights_are_as_they_were(failure: object) -> None:
    model, calls = pair(), []
    before = {name: value.clone() for name, value in model.state_dict().items()}

    def loss(changed: nn.Module) -> object:
        calls.append(1)
        if len(calls) == 4:
            if isinstance(failure, Exception):
                raise failure
            return failure
        return 1.0

    with pytest.raises((rf.RankfoldError, KeyError)) as caught:
        rf.factorize(model, rf.Sensitivity(loss, params=0.5, levels=2))
    if isinstance(failure, float):
        assert str(caught.value) == (
            f"Sensitivity: the loss is {failure} for layer '1' at ranks (1, 1); exclude the layer, or evaluate on "
            "other inputs."
        )
        assert isinstance(caught.value, rf.NonFiniteError)
    elif not isinstance(failure, Exception):
        assert "evaluate must return the loss as one number" in str(caught.value)
    assert all(type(layer) is nn.Linear for layer in model)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_loss_that_falls_counts_as_no_rise() -> None:
    model, calls = pair(), []

    def loss(changed: nn.Module) -> float:
        calls.append(1)
        return -float(len(calls))

    # Nothing seems to matter, so everything gets the lowest rank.
    assert ranks(model, rf.Sensitivity(loss, params=1.0, levels=3)) == [(1, 1), (1, 1)]


def test_a_budget_out_of_reach() -> None:
    with pytest.raises(rf.OptionError, match=r"Sensitivity: params: 0\.01 cannot be reached"):
        answers(pair(), rf.Sensitivity(lambda model: 0.0, params=0.01))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"evaluate": 3, "params": 0.5}, "Sensitivity: evaluate must be a function of the model"),
        ({"evaluate": float, "params": 0.0}, "Sensitivity: params must be a float in"),
        ({"evaluate": float, "params": 1.5}, "Sensitivity: params must be a float in"),
        (
            {"evaluate": float, "params": 0.5, "levels": 1},
            "Sensitivity: levels must be a whole number of at least 2",
        ),
        ({"evaluate": float, "params": 0.5, "levels": True}, "Sensitivity: levels must be a whole number"),
    ],
)
def test_refused_arguments(options: dict, message: str) -> None:
    with pytest.raises(rf.OptionError, match=message):
        rf.Sensitivity(**options)
