"""The soft penalty, and descent on the group, on whole networks with a direct map."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rankfold import OptionError, ShapeError
from rankfold.convert import orthogonalize
from rankfold.layers import orthogonal_weights
from rankfold.training import OrthogonalDescent, orthogonality_penalty


def network() -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(2, 6, 3), nn.ReLU(), nn.Conv2d(6, 4, 3, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(16, 3)
    ).double()


def batch() -> tuple[Tensor, Tensor]:
    return torch.randn(12, 2, 6, 6, dtype=torch.float64), torch.arange(12) % 3


def test_the_penalty_keeps_a_free_matrix_near_the_orthogonal_ones() -> None:
    distances = {}
    for factor in (0.0, 0.1):
        torch.manual_seed(0)
        model, (x, y) = network(), batch()
        orthogonalize(model, "direct")
        assert orthogonality_penalty(model) == 0
        orthogonality_penalty(model).backward()
        assert all(p.grad is None or p.grad.abs().max() == 0 for p in model.parameters())
        optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
        for _ in range(40):
            optimizer.zero_grad()
            (F.cross_entropy(model(x), y) + factor * orthogonality_penalty(model)).backward()
            optimizer.step()
        distances[factor] = float(orthogonality_penalty(model).detach())
    assert distances[0.1] < 0.5 * distances[0.0]


def test_the_penalty_is_the_frobenius_norm() -> None:
    matrix = torch.randn(3, 4, 4, dtype=torch.float64)
    expected = sum(torch.linalg.matrix_norm(m @ m.mT - torch.eye(4)) for m in matrix)
    torch.testing.assert_close(orthogonality_penalty(matrix), expected)
    assert torch.autograd.gradcheck(orthogonality_penalty, matrix.requires_grad_())
    with pytest.raises(ShapeError, match="square"):
        orthogonality_penalty(torch.ones(2, 3))
    with pytest.raises(OptionError, match="no orthogonal matrices"):
        orthogonality_penalty(nn.Linear(2, 2))


def test_direct_matrices_go_with_their_own_optimiser() -> None:
    model, (x, y) = network(), batch()
    orthogonalize(model, "direct")
    free = [free for *_, free in orthogonal_weights(model)]
    others = [p for p in model.parameters() if all(p is not f for f in free)]
    optimizers = [OrthogonalDescent(free, lr=0.5, iterations=None), torch.optim.SGD(others, lr=0.05)]
    losses = []
    for _ in range(60):
        for optimizer in optimizers:
            optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        for optimizer in optimizers:
            optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.8 * losses[0]
    assert orthogonality_penalty(model) <= 1e-12
