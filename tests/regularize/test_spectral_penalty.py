"""The spectral regulariser of RobustDLRT: its value, gradient, bound and invariance, and its use with TDLRT."""

import math

import pytest
import torch
from tests.regularize.training import train
from tests.regularize.values import model
from torch import nn

from rankfold import TDLRT, OptionError, Tucker
from rankfold.layers import Conv2d, Linear
from rankfold.regularize import SpectralPenalty


def matrix_layer(core: torch.Tensor) -> Linear:
    rows, columns = core.shape
    layer = Linear(columns + 3, rows + 2, bias=False, rank=(rows, columns), dtype=torch.float64)
    layer.assign(
        Tucker(core, tuple(torch.eye(n, r).double() for n, r in ((rows + 2, rows), (columns + 3, columns))))
    )
    return layer


@pytest.mark.parametrize("shape", [(4, 4), (5, 3), (3, 5)])
def test_value_and_gradient(shape: tuple[int, int]) -> None:
    """R = ||SᵀS - α²I|| and its gradient 2 S (SᵀS - α²I) / R."""
    layer = matrix_layer(torch.randn(shape, dtype=torch.float64))
    penalty = SpectralPenalty(layer, 0.5).penalty()
    penalty.backward()
    core = layer.core.detach() if shape[0] >= shape[1] else layer.core.detach().mT
    rank = core.shape[1]
    defect = core.mT @ core - core.square().sum() / rank * torch.eye(rank).double()
    expected = torch.linalg.matrix_norm(defect)
    torch.testing.assert_close(penalty.detach(), 0.5 * expected, rtol=1e-12, atol=0)
    gradient = core @ defect / expected
    assert layer.core.grad is not None
    wanted = gradient if shape[0] >= shape[1] else gradient.mT
    torch.testing.assert_close(layer.core.grad, wanted, rtol=1e-10, atol=1e-12)


def test_condition_number_is_bounded() -> None:
    for seed in range(20):
        torch.manual_seed(seed)
        layer = matrix_layer(torch.randn(5, 5, dtype=torch.float64))
        spectrum = torch.linalg.svdvals(layer.core.detach())
        defect = float(SpectralPenalty(layer, 1.0).penalty().detach())
        assert math.log(float(spectrum[0] / spectrum[-1])) <= defect / (
            math.sqrt(2) * float(spectrum[-1]) ** 2
        )


def test_it_does_not_depend_on_the_bases() -> None:
    layer = matrix_layer(torch.randn(4, 4, dtype=torch.float64))
    before = SpectralPenalty(layer).penalty().detach()
    turns = [torch.linalg.qr(torch.randn(4, 4, dtype=torch.float64)).Q for _ in range(2)]
    left, right = layer.tucker.factors
    assert left is not None
    assert right is not None
    layer.assign(Tucker(turns[0].mT @ layer.core @ turns[1], (left @ turns[0], right @ turns[1])))
    torch.testing.assert_close(SpectralPenalty(layer).penalty().detach(), before)


def test_equal_singular_values_and_zero_have_no_gradient() -> None:
    for core in (3 * torch.eye(4).double(), torch.zeros(4, 4).double()):
        layer = matrix_layer(core)
        penalty = SpectralPenalty(layer).penalty()
        penalty.backward()
        assert float(penalty.detach()) <= 1e-12
        assert layer.core.grad is not None
        assert bool(layer.core.grad.isfinite().all())


def test_convolutions_use_the_outputs() -> None:
    layer = Conv2d(6, 8, 3, rank=4, dtype=torch.float64)
    rows = layer.core.detach().flatten(1)
    gram = rows @ rows.mT
    defect = torch.linalg.matrix_norm(gram - gram.diagonal().mean() * torch.eye(4).double())
    torch.testing.assert_close(SpectralPenalty(layer, 1.0).penalty().detach(), defect)
    inputs_only = Conv2d(6, 8, 3, rank=4, modes=(1,))
    assert float(SpectralPenalty(inputs_only).penalty().detach()) > 0


@pytest.mark.parametrize("integrator", ["augmented", "parallel", "fixed"])
def test_with_tdlrt(integrator: str) -> None:
    """With it all singular values are nearly equal, at ranks that change."""
    conditions = []
    for strength in (0.0, 0.5):
        network = model("tucker")
        optimizer = TDLRT(
            network, torch.optim.SGD, lr=0.05, core_steps=3, integrator=integrator, tolerance=0.02
        )
        penalty = SpectralPenalty(network, strength)
        ranks = set()
        for _ in range(80):
            train(network, optimizer, 1, penalty.penalty)
            ranks.add((network[0].ranks, network[3].ranks))
        optimizer.truncate()
        assert (len(ranks) > 1) == (integrator != "fixed")
        spectrum = torch.linalg.svdvals(network[3].core.detach())
        conditions.append(float(spectrum[0] / spectrum[-1]))
    assert conditions[1] < 1.3 < conditions[0]


def test_with_a_plain_optimiser() -> None:
    network = model("tucker")
    penalty = SpectralPenalty(network)
    before = float(penalty.penalty().detach())
    train(network, torch.optim.Adam(network.parameters(), lr=0.01), 60, lambda: 10 * penalty.penalty())
    assert float(penalty.penalty().detach()) < before / 2


def test_refusals() -> None:
    with pytest.raises(OptionError, match="the model has no Tucker layer"):
        SpectralPenalty(model("cp"))
    with pytest.raises(OptionError, match="strength must be"):
        SpectralPenalty(model("tucker"), -1)
    with pytest.raises(OptionError, match=r"pass the nn\.Module itself"):
        SpectralPenalty(nn.Linear(3, 3).weight)  # pyright: ignore[reportArgumentType]
