"""Scale moved from layer to layer: the function stays, and gradient descent changes by learning rates alone."""

import copy
import math
from math import prod

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rankfold import OptionError
from rankfold.init import rescale_layers
from rankfold.layers import Linear


def network(count: int, *, bias: bool = False, factorised: bool = False) -> nn.Sequential:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for k in range(count):
        kind: type = Linear if factorised and k % 2 else nn.Linear
        rank = {"rank": 3} if kind is Linear else {}
        layers += [kind(6, 6, bias=bias, dtype=torch.float64, **rank), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def weighted(model: nn.Sequential) -> list[nn.Module]:
    return [layer for layer in model if not isinstance(layer, nn.ReLU)]


def batch() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return tuple(torch.randn(20, 6, generator=generator, dtype=torch.float64) for _ in range(2))  # pyright: ignore


@pytest.mark.parametrize("schedule", ["ramp", "step"])
@pytest.mark.parametrize("count", [2, 3, 5, 8])
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("factorised", [False, True])
def test_the_function_stays(count: int, schedule: str, bias: bool, factorised: bool) -> None:
    model, (inputs, _) = network(count, bias=bias, factorised=factorised), batch()
    before = model(inputs).detach()
    rows = rescale_layers(weighted(model), 1.7, schedule=schedule)  # pyright: ignore[reportArgumentType]
    assert abs(prod(row.factor for row in rows) - 1) <= 1e-12
    after = model(inputs).detach()
    assert float((after - before).norm()) <= 1e-12 * float(before.norm())


def test_schedules() -> None:
    def factors(count: int, schedule: str) -> list[float]:
        rows = rescale_layers(weighted(network(count)), 2.0, schedule=schedule)  # pyright: ignore
        return [round(row.factor, 12) for row in rows]

    assert factors(4, "ramp") == [0.25, 0.5, 2.0, 4.0]
    assert factors(5, "ramp") == [0.25, 0.5, 1.0, 2.0, 4.0]
    assert factors(5, "step") == [0.5, 0.5, 1.0, 2.0, 2.0]
    assert factors(2, "step") == [0.5, 2.0]


def test_own_factors_lose_their_mean() -> None:
    rows = rescale_layers(weighted(network(3)), factors=[1.0, 10.0, 100.0])
    assert [round(row.factor, 12) for row in rows] == [0.1, 1.0, 10.0]
    again = rescale_layers(weighted(network(3)), factors=[7.0, 7.0, 7.0])
    assert [round(row.factor, 12) for row in again] == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("bias", [False, True])
def test_gradient_descent_changes_by_learning_rates_alone(bias: bool, momentum: float) -> None:
    """The claim that such a start is a schedule of rates: equal outputs after 50 steps."""
    original, (inputs, targets) = network(4, bias=bias), batch()
    rescaled = copy.deepcopy(original)
    rows = rescale_layers(weighted(rescaled), 1.3)
    rate = 0.02
    groups = []
    for layer, row in zip(weighted(original), rows, strict=True):
        groups.append({"params": [layer.weight], "lr": rate * row.rate})
        if bias:
            groups.append({"params": [layer.bias], "lr": rate * row.bias_rate})
    optimizers = [
        torch.optim.SGD(groups, lr=rate, momentum=momentum),
        torch.optim.SGD(rescaled.parameters(), lr=rate, momentum=momentum),
    ]
    start = original(inputs).detach()
    for _ in range(50):
        for model, optimizer in zip((original, rescaled), optimizers, strict=True):
            optimizer.zero_grad()
            F.mse_loss(model(inputs), targets).backward()
            optimizer.step()
    first, second = original(inputs).detach(), rescaled(inputs).detach()
    assert float((first - second).norm()) <= 1e-10 * float(first.norm())
    assert float((first - start).norm()) > 1e-3 * float(start.norm())


def test_refusals() -> None:
    layers = weighted(network(3))
    for options in ({}, {"alpha": 2.0, "factors": [1, 1, 1]}):
        with pytest.raises(OptionError, match="exactly one of alpha and factors"):
            rescale_layers(layers, **options)
    for alpha in (0, -1, math.nan, math.inf, "2", True):
        with pytest.raises(OptionError, match="alpha must be a finite number over 0"):
            rescale_layers(layers, alpha)  # pyright: ignore[reportArgumentType]
    with pytest.raises(OptionError, match="a factor must be a finite number over 0"):
        rescale_layers(layers, factors=[1, -1, 1])
    with pytest.raises(OptionError, match="got 2 factors for 3 layers"):
        rescale_layers(layers, factors=[1, 1])
    with pytest.raises(OptionError, match="schedule must be one of ramp, step"):
        rescale_layers(layers, 2.0, schedule="steep")  # pyright: ignore[reportArgumentType]
    with pytest.raises(OptionError, match="got 1 layers; pass 2 or more"):
        rescale_layers(layers[:1], 2.0)
    with pytest.raises(OptionError, match="layers is a Linear; pass a list"):
        rescale_layers(layers[0], 2.0)  # pyright: ignore[reportArgumentType]
    for stranger in (nn.ReLU(), nn.BatchNorm1d(3), "layer"):
        with pytest.raises(OptionError, match="entry 1 of layers is a"):
            rescale_layers([layers[0], stranger], 2.0)  # pyright: ignore[reportArgumentType]
    with pytest.raises(OptionError, match="entry 2 of layers shares its weight"):
        rescale_layers([layers[0], layers[1], layers[0]], 2.0)
