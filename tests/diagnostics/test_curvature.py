"""Norms of Hessians against whole Hessians, and the constants of lazy training against their inequalities."""

import pytest
import torch
from torch import nn

import rankfold as rf
from rankfold import NonFiniteError, OptionError, ShapeError
from rankfold.diagnostics import hessian_norms, laziness, pl_constant, tangent_kernel


def problem(activation=nn.Tanh):
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Linear(9, 10), activation(), nn.Linear(10, 11), activation(), nn.Linear(11, 1)
    ).double()
    x, y = torch.randn(20, 9, dtype=torch.float64), torch.randn(20, 1, dtype=torch.float64)
    return model, lambda: (model(x) - y).square().mean() / 2, x, y


def exact(model, loss, name):
    parameter = model.get_parameter(name)
    (gradient,) = torch.autograd.grad(loss(), parameter, create_graph=True)
    rows = [
        torch.autograd.grad(entry, parameter, retain_graph=True, materialize_grads=True)[0].flatten()
        for entry in gradient.flatten()
    ]
    return torch.stack(rows)


def test_power_iteration_finds_the_spectral_norm():
    model, loss, _, _ = problem()
    found = hessian_norms(loss, model, iterations=200, generator=torch.Generator().manual_seed(1))
    for name, value in found.items():
        expected = float(torch.linalg.matrix_norm(exact(model, loss, name), 2))
        assert value == pytest.approx(expected, rel=1e-3), name


def test_random_signs_estimate_the_frobenius_norm():
    model, loss, _, _ = problem()
    found = hessian_norms(
        loss, model, kind="frobenius", iterations=400, generator=torch.Generator().manual_seed(1)
    )
    whole = sum(value**2 for value in found.values()) ** 0.5
    expected = sum(float(exact(model, loss, name).square().sum()) for name in found) ** 0.5
    assert whole == pytest.approx(expected, rel=0.03)


def test_of_a_chain_of_relus_the_block_is_a_kronecker_product():
    """One sample: the block of a weight is the Hessian at its output times a a^T, where Skorski et al. are exact."""
    model, _, x, _ = problem(nn.ReLU)
    one = x[:1]
    hidden = model[:2](one).detach()
    pre = model[2](hidden).detach().requires_grad_()
    outer = torch.autograd.functional.hessian(lambda z: model[3:](z).square().sum() / 2, pre).reshape(11, 11)
    block = exact(model, lambda: model(one).square().sum() / 2, "2.weight")
    torch.testing.assert_close(block, torch.kron(outer, hidden.mT @ hidden), rtol=1e-10, atol=1e-12)
    found = hessian_norms(lambda: model(one).square().sum() / 2, model, iterations=50)
    assert found["2.weight"] == pytest.approx(
        float(hidden.square().sum() * torch.linalg.matrix_norm(outer, 2)), rel=1e-6
    )


def test_unbalanced_factors_show_at_once():
    model, loss, _, _ = problem()
    rf.factorize(model, 3)
    before = hessian_norms(loss, model, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        model[2].core *= 10
        model[2].factor_0 /= 10
    after = hessian_norms(loss, model, generator=torch.Generator().manual_seed(1))
    assert after["2.factor_0"] / before["2.factor_0"] == pytest.approx(100, rel=1e-3)
    assert after["2.core"] / before["2.core"] == pytest.approx(0.01, rel=1e-3)
    assert after["0.core"] == pytest.approx(before["0.core"], rel=1e-3)


def test_deeper_networks_spread_more_with_the_scale_of_their_weights():
    spreads = []
    for depth in (4, 8, 16):
        norms = []
        for scale in (0.5, 1.0, 2.0):
            torch.manual_seed(0)
            layers = [nn.Sequential(nn.Linear(16, 16, bias=False), nn.ReLU()) for _ in range(depth)]
            model = nn.Sequential(*layers, nn.Linear(16, 4, bias=False)).double()
            for parameter in model.parameters():
                nn.init.kaiming_normal_(parameter, nonlinearity="relu")
                parameter.data.mul_(scale)
            x, y = torch.randn(32, 16, dtype=torch.float64), torch.randn(32, 4, dtype=torch.float64)
            found = hessian_norms(lambda m=model, x=x, y=y: (m(x) - y).square().mean(), model, iterations=10)
            norms.append(max(found.values()))
        assert norms[0] < norms[1] < norms[2]
        spreads.append(norms[2] / norms[0])
    assert spreads[0] < spreads[1] < spreads[2]
    assert spreads[2] >= 1e6


def test_linear_losses_frozen_parameters_and_refusals():
    model, loss, x, _ = problem()
    assert hessian_norms(lambda: model[0](x).sum(), model[0]) == {"weight": 0.0, "bias": 0.0}
    model[0].requires_grad_(False)
    assert not any(name.startswith("0.") for name in hessian_norms(loss, model, iterations=1))
    model.requires_grad_(False)
    with pytest.raises(OptionError, match="unfreeze"):
        hessian_norms(loss, model)
    model.requires_grad_(True)
    with pytest.raises(OptionError, match="kind"):
        hessian_norms(loss, model, kind="nuclear")
    with pytest.raises(OptionError, match="iterations"):
        hessian_norms(loss, model, iterations=0)
    with torch.no_grad():
        model[0].weight[0, 0] = float("nan")
    with pytest.raises(NonFiniteError):
        hessian_norms(loss, model)


def test_the_inequality_of_polyak_and_lojasiewicz():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 40), nn.GELU(), nn.Linear(40, 2, bias=False)).double()
    x, y = torch.randn(12, 6, dtype=torch.float64), torch.randn(12, 2, dtype=torch.float64)
    features = model[:2](x)
    residual = model[2](features) - y
    (gradient,) = torch.autograd.grad(residual.square().sum() / 2, model[2].weight)
    constant = pl_constant(features)
    assert gradient.square().sum() >= constant * residual.square().sum() > 0
    kernel = tangent_kernel(model, x)
    assert torch.linalg.eigvalsh(kernel)[0] >= constant * (
        1 - 1e-9
    )  # the last layer's part alone has this much
    assert pl_constant(features[:, :5]) == 0.0


def test_the_tangent_kernel_says_how_outputs_move():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 2)).double()
    x = torch.randn(4, 3, dtype=torch.float64)
    before, kernel = model(x).flatten(), tangent_kernel(model, x)
    direction = torch.randn(8, dtype=torch.float64)
    gradients = torch.autograd.grad(before @ direction, list(model.parameters()))
    with torch.no_grad():
        for parameter, gradient in zip(model.parameters(), gradients, strict=True):
            parameter.add_(gradient, alpha=1e-6)
    torch.testing.assert_close((model(x).flatten() - before) / 1e-6, kernel @ direction, rtol=1e-3, atol=1e-3)


def test_movement():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2))
    start = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        start["1.bias"].zero_()
        model[1].bias.zero_()
        model[0].weight *= 3
    found = laziness(model, start)
    assert found["0.weight"] == pytest.approx(2.0, rel=1e-5)
    assert found["1.weight"] == found["1.bias"] == 0.0
    with torch.no_grad():
        model[1].bias += 1
    assert laziness(model, start)["1.bias"] == float("inf")
    with pytest.raises(OptionError, match=r"1\.bias"):
        laziness(model, {name: value for name, value in start.items() if name != "1.bias"})
    with pytest.raises(ShapeError):
        pl_constant(torch.ones(3))
    with pytest.raises(NonFiniteError):
        pl_constant(torch.full((2, 3), float("inf")))
    with pytest.raises(ShapeError):
        tangent_kernel(nn.Flatten(0), torch.ones(2, 3))


@pytest.mark.parametrize("dropout", [0.0, 0.1])
def test_attention_is_differentiated_twice(dropout):
    torch.manual_seed(0)
    model = nn.TransformerEncoderLayer(8, 2, 16, dropout=dropout, batch_first=True)
    x = torch.randn(2, 5, 8)

    def loss():
        torch.manual_seed(1)
        return model(x).square().mean()

    found = hessian_norms(loss, model, iterations=3)
    assert found["self_attn.in_proj_weight"] > 0
