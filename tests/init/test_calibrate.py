"""Curvature of a loss layer by layer: measured, equalised, and brought to a level."""

import copy
import math
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rankfold import NonFiniteError, OptionError
from rankfold.init import calibrate
from rankfold.init._curvature import hessian_norms
from rankfold.layers import Linear
from rankfold.linalg import power_iteration


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def network(
    sizes: tuple[int, ...], activation: type[nn.Module] = nn.ReLU, scale: float = 1.0
) -> nn.Sequential:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(sizes):
        layer = nn.Linear(inputs, outputs, dtype=torch.float64)
        nn.init.normal_(layer.weight, 0, scale * math.sqrt(2 / inputs))
        nn.init.zeros_(layer.bias)
        layers += [layer, activation()]
    return nn.Sequential(*layers[:-1])


def weighted(model: nn.Sequential) -> list[nn.Module]:
    return [layer for layer in model if isinstance(layer, nn.Linear | Linear)]


def batch(inputs: int, outputs: int, count: int = 64) -> tuple[Tensor, Tensor]:
    generator = seeded()
    x = torch.randn(count, inputs, generator=generator, dtype=torch.float64)
    return x, torch.randint(outputs, (count,), generator=generator)


# -- measuring -------------------------------------------------------------------------------------------


def test_power_iteration_finds_negative_values_too() -> None:
    basis = torch.linalg.qr(torch.randn(6, 6, dtype=torch.float64)).Q
    spectrum = torch.tensor([3.0, -5.0, 1.0, 0.5, -0.1, 0.0], dtype=torch.float64)
    matrix = basis * spectrum @ basis.mT
    start = torch.randn(6, dtype=torch.float64)
    assert abs(power_iteration(lambda v: matrix @ v, start, iterations=60) - 5) < 1e-10
    assert power_iteration(lambda v: 0 * v, start) == 0
    assert math.isnan(power_iteration(lambda v: v * math.nan, start))


def test_against_the_exact_hessian() -> None:
    """224 parameters, tanh."""
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(12, 10), nn.Tanh(), nn.Linear(10, 8), nn.Tanh()).double()
    inputs, _ = batch(12, 8, 30)
    targets = torch.randn(30, 8, dtype=torch.float64)
    weights = [model[0].weight, model[2].weight]
    found = hessian_norms(
        lambda: F.mse_loss(model(inputs), targets), weights, iterations=400, generator=seeded()
    )
    for index, weight in enumerate(weights):

        def loss(value: Tensor, index: int = index) -> Tensor:
            named = {f"{2 * index}.weight": value.view_as(weights[index])}
            return F.mse_loss(torch.func.functional_call(model, named, (inputs,)), targets)

        hessian = torch.autograd.functional.hessian(loss, weight.detach().flatten())
        assert isinstance(hessian, Tensor)
        exact = float(torch.linalg.eigvalsh(hessian).abs().max())
        assert abs(found[index] / exact - 1) < 1e-3


def test_the_block_of_a_relu_layer_is_forward_times_backward_energy() -> None:
    """H_W = (Jᵀ H_out J) ⊗ a aᵀ for one sample, exactly: spectral norm ||a||² ||Jᵀ H_out J||."""
    model = network((7, 6, 5, 4))
    inputs, labels = batch(7, 4, 1)
    hidden = F.relu(model[0](inputs))
    before = model[2](hidden)
    mask = (before > 0).double()
    jacobian = model[4].weight.detach() * mask[0]
    probability = torch.softmax(model(inputs), 1).detach()[0]
    curved = torch.diag(probability) - probability.outer(probability)
    expected = float(
        hidden.square().sum().detach() * torch.linalg.matrix_norm(jacobian.mT @ curved @ jacobian, 2)
    )
    (found,) = hessian_norms(
        lambda: F.cross_entropy(model(inputs), labels), [model[2].weight], iterations=200
    )
    assert abs(found / expected - 1) < 1e-10


def test_depth_sweep_of_scales() -> None:
    """The norm rises with the scale, and at 16 layers spreads over six orders of magnitude and more.

    Of squared loss: cross-entropy saturates where outputs are large, and its curvature falls again.
    """
    inputs, labels = batch(16, 4)
    targets, norms = F.one_hot(labels, 4).double(), []
    for scale in (0.5, 0.7, 1.0, 1.4, 2.0):
        model = network((16,) * 16 + (4,), scale=scale)
        found = hessian_norms(
            lambda model=model: F.mse_loss(model(inputs), targets),
            [model[0].weight],
            iterations=15,
            generator=seeded(),
        )
        norms.append(found[0])
    assert all(low < high for low, high in pairwise(norms))
    assert norms[-1] / norms[0] >= 1e6


def test_weights_that_the_loss_does_not_curve_in() -> None:
    weight = torch.ones(3, requires_grad=True)
    unused = torch.ones(3, requires_grad=True)
    assert hessian_norms(lambda: weight.sum(), [weight, unused]) == [0.0, 0.0]
    squares = hessian_norms(lambda: weight.square().sum(), [weight])
    assert abs(squares[0] - 2) < 1e-6


# -- calibrating -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("factorised", [False, True])
def test_relu_networks_are_equal_after_one_round_and_compute_the_same(factorised: bool) -> None:
    model = network((10, 20, 20, 4))
    if factorised:
        model[2] = Linear(20, 20, rank=8, dtype=torch.float64)
    for layer in weighted(model):
        nn.init.normal_(layer.bias, 0, 0.1)  # pyright: ignore[reportArgumentType]
    inputs, labels = batch(10, 4)
    before = model(inputs).detach()
    rows = calibrate(
        weighted(model),
        lambda: F.cross_entropy(model(inputs), labels),
        rounds=1,
        iterations=100,
        generator=seeded(),
    )
    assert float((model(inputs).detach() - before).norm()) <= 1e-12 * float(before.norm())
    assert abs(math.prod(row.factor for row in rows) - 1) <= 1e-12
    after = [row.after for row in rows]
    assert max(after) / min(after) < 1.02 < max(row.before for row in rows) / min(row.before for row in rows)


def test_once_is_enough() -> None:
    model = network((10, 20, 4))
    inputs, labels = batch(10, 4)

    def loss() -> Tensor:
        return F.cross_entropy(model(inputs), labels)

    calibrate(weighted(model), loss, iterations=100, generator=seeded())
    state = copy.deepcopy(model.state_dict())
    rows = calibrate(weighted(model), loss, iterations=100, generator=seeded())
    assert [row.factor for row in rows] == [1.0, 1.0]
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("target", [0.1, 1.0, 10.0])
def test_a_target_is_reached(target: float) -> None:
    """With squared loss scaling is a power law; the level needs no search."""
    model = network((10, 20, 20, 4))
    inputs, _ = batch(10, 4)
    targets = torch.randn(64, 4, dtype=torch.float64)
    rows = calibrate(
        weighted(model),
        lambda: F.mse_loss(model(inputs), targets),
        target=target,
        iterations=100,
        generator=seeded(),
    )
    assert all(abs(row.after / target - 1) < 0.05 for row in rows)


def test_smooth_networks_take_a_few_rounds() -> None:
    model = network((10, 20, 20, 4), nn.Tanh)
    inputs, labels = batch(10, 4)
    rows = calibrate(
        weighted(model),
        lambda: F.cross_entropy(model(inputs), labels),
        iterations=60,
        generator=seeded(),
        tolerance=0.2,
    )
    after, before = ([getattr(row, name) for row in rows] for name in ("after", "before"))
    assert max(after) / min(after) < min(1.3, max(before) / min(before))


def test_nothing_changes_where_the_curvature_is_not_finite() -> None:
    model = network((10, 20, 4))
    inputs, labels = batch(10, 4)
    inputs[0, 0] = math.nan
    state = copy.deepcopy(model.state_dict())
    with pytest.raises(NonFiniteError, match="the curvature in layer 0 is nan"):
        calibrate(weighted(model), lambda: F.cross_entropy(model(inputs), labels))
    assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())


def test_refusals() -> None:
    model = network((4, 4, 4))
    inputs, labels = batch(4, 4)

    def loss() -> Tensor:
        return F.cross_entropy(model(inputs), labels)

    with pytest.raises(OptionError, match="calibrate: got 1 layers"):
        calibrate([model[0]], loss)
    for name, values in {"target": (0, -1, math.nan), "tolerance": (0, None, math.inf)}.items():
        for value in values:
            with pytest.raises(OptionError, match=f"{name} must be .*a finite number over 0"):
                calibrate(weighted(model), loss, **{name: value})
    for name in ("rounds", "iterations"):
        for value in (0, 1.5, True):
            with pytest.raises(OptionError, match=f"{name} must be a whole number of 1 or more"):
                calibrate(weighted(model), loss, **{name: value})
    with pytest.raises(OptionError, match="the loss is not curved in layer 1"):
        calibrate(weighted(model), lambda: model[0](inputs).square().mean())
