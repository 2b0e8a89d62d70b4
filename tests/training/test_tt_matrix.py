"""Layers over TT-matrices in a model that TDLRT trains: parameters like others."""

import copy

import pytest
import torch
from torch import nn

from rankfold import TDLRT, OptimizerError, factorize, set_ranks
from rankfold.layers import Linear, TTMatrixLinear


def network() -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(24, 36), nn.Tanh(), nn.Linear(36, 8)).double()
    factorize(model, 3, include="0", format="tt_matrix", rescale=True)
    factorize(model, 4, rescale=True)
    return model


@pytest.mark.parametrize("integrator", ["augmented", "parallel", "fixed"])
def test_the_inner_optimiser_trains_the_cores_at_fixed_ranks(integrator: str) -> None:
    model = network()
    optimizer = TDLRT(
        model, torch.optim.SGD, lr=0.1, momentum=0.9, weight_decay=0.01, core_steps=1, integrator=integrator
    )
    # A copy of the first layer under SGD itself, on the gradients that it gets in the model.
    alone = copy.deepcopy(model[0])
    plain = torch.optim.SGD(alone.parameters(), lr=0.1, momentum=0.9, weight_decay=0.01)
    assert list(optimizer.layers) == ["2"]
    for seed in range(5):
        inputs = torch.randn(16, 24, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        optimizer.zero_grad()
        model(inputs).square().mean().backward()
        for mine, its in zip(alone.parameters(), model[0].parameters(), strict=True):
            mine.grad = None if its.grad is None else its.grad.clone()
        optimizer.step()
        plain.step()
        for mine, its in zip(alone.parameters(), model[0].parameters(), strict=True):
            assert torch.allclose(mine, its, rtol=1e-12, atol=0)
    assert isinstance(model[0], TTMatrixLinear)
    assert model[0].ranks == (3, 3)
    assert isinstance(model[2], Linear)


def test_a_model_without_tucker_layers_is_refused() -> None:
    model = nn.Sequential(nn.Linear(24, 36))
    factorize(model, 3, format="tt_matrix")
    with pytest.raises(OptimizerError, match=r"layers over TT-matrices but none over a Tucker tensor"):
        TDLRT(model, torch.optim.SGD, lr=0.1)


def test_set_ranks_is_about_tucker_layers() -> None:
    model = network()
    records = set_ranks(model, 2)
    assert list(records) == ["2"]
    assert model[0].ranks == (3, 3)
