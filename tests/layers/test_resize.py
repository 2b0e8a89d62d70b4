import pytest
import torch
from torch import nn

from rankfold.layers import Linear, replace_data


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(3, 2), (5, 7), (0, 2), (6,)])
def test_parameter_takes_the_value_and_stays_itself(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    parameter, value = nn.Parameter(torch.ones(3, 2, dtype=dtype)), torch.randn(shape).to(dtype)
    parameter.grad = torch.ones_like(parameter)
    before = {parameter: "state"}
    replace_data(parameter, value)
    assert torch.equal(parameter, value)
    assert parameter.dtype == dtype
    assert parameter.grad is None
    assert parameter.requires_grad
    assert before[parameter] == "state"


def test_backward_works_while_an_old_loss_is_alive() -> None:
    parameter = nn.Parameter(torch.ones(3))
    old = (parameter * 2).sum()
    old.backward(retain_graph=True)
    for size in (5, 2, 7):
        replace_data(parameter, torch.ones(size))
        (parameter * 3).sum().backward()
        assert torch.equal(parameter.grad, torch.full((size,), 3.0))
    assert old.item() == 6


def test_frozen_parameters_stay_frozen() -> None:
    parameter = nn.Parameter(torch.ones(3), requires_grad=False)
    replace_data(parameter, torch.ones(2, 2))
    assert not parameter.requires_grad


def test_hooks_after_accumulation_stay() -> None:
    parameter, calls = nn.Parameter(torch.ones(3)), []
    parameter.register_post_accumulate_grad_hook(lambda p: calls.append(tuple(p.grad.shape)))
    (parameter * 2).sum().backward()
    replace_data(parameter, torch.ones(5))
    (parameter * 2).sum().backward()
    assert calls == [(3,), (5,)]


def test_layer_trains_on_after_its_rank_changed() -> None:
    layer = Linear(8, 6, rank=2)
    parameters = list(layer.parameters())
    inputs = torch.randn(3, 8)
    old = layer(inputs).sum()
    old.backward(retain_graph=True)
    layer.assign(Linear(8, 6, rank=4).tucker)
    assert layer.ranks == (4, 4)
    assert all(new is before for new, before in zip(layer.parameters(), parameters, strict=True))
    layer(inputs).sum().backward()
    assert layer.core.grad.shape == (4, 4)
    assert layer.factors[0].grad.shape == (6, 4)
