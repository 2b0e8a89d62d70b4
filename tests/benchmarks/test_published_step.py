"""The written-out step that the benchmarks compare with is itself right."""

from copy import deepcopy

import pytest
import torch
import torch.nn.functional as F
from benchmarks._published_step import PublishedConv, PublishedTDLRT, published_model
from torch import nn

from rankfold import TDLRT, factorize
from rankfold.layers import Conv2d

RATE, TOLERANCE = 0.3, 0.02


def start() -> nn.Sequential:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(8, 12, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(12, 10, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(10 * 36, 5),
    ).double()
    factorize(model, 3, exclude=["0", nn.Linear], rescale=True)
    return model


def evaluation(model: nn.Module, parameters: torch.optim.Optimizer):
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(16, 2, 6, 6, generator=generator, dtype=torch.float64)
    y = torch.randint(0, 5, (16,), generator=generator)

    def closure() -> torch.Tensor:
        parameters.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        return loss

    return closure


def published(model: nn.Sequential, modes: tuple[int, ...], **options):
    network = published_model(model, modes)
    dense = torch.optim.SGD(network.parameters(), lr=RATE)
    return network, dense, PublishedTDLRT(network, RATE, dense, **{"tolerance": TOLERANCE, **options})


@pytest.mark.parametrize("modes", [(0, 1), (0, 1, 2, 3)])
def test_the_copy_computes_the_same(modes: tuple[int, ...]):
    model = start()
    x = torch.randn(3, 2, 6, 6, dtype=torch.float64)
    torch.testing.assert_close(published_model(model, modes)(x), model(x), rtol=0, atol=1e-13)


@pytest.mark.parametrize("modes", [(0, 1), (0, 1, 2, 3)])
def test_the_loss_falls(modes: tuple[int, ...]):
    network, dense, optimizer = published(start(), modes)
    closure = evaluation(network, dense)
    losses = [float(optimizer.step(closure).detach()) for _ in range(8)]
    assert losses[-1] < 0.85 * losses[0]
    assert losses == sorted(losses, reverse=True)


def test_one_step_takes_one_pass_per_mode_and_one_for_the_core():
    network, dense, optimizer = published(start(), (0, 1, 2, 3))
    evaluate, passes = evaluation(network, dense), []

    def counting() -> torch.Tensor:
        passes.append(1)
        return evaluate()

    optimizer.step(counting)
    assert len(passes) == 5


def test_ranks_can_be_kept():
    network, dense, optimizer = published(start(), (0, 1, 2, 3), keep_ranks=True)
    closure = evaluation(network, dense)
    for _ in range(3):
        optimizer.step(closure)
    assert [tuple(layer.core.shape) for layer in optimizer.layers] == [(3, 3, 3, 3)] * 2
    for layer in optimizer.layers:
        for mode, factor in layer.factors.items():
            identity = torch.eye(factor.shape[1], dtype=factor.dtype)
            torch.testing.assert_close(factor.mT @ factor, identity, rtol=0, atol=1e-13)
            assert factor.shape == (layer.weight().shape[mode], 3)


@pytest.mark.parametrize("closure", [True, False])
def test_three_passes_are_the_step_of_the_library(closure: bool):
    model = start()
    copy = deepcopy(model)
    network, dense, optimizer = published(copy, (0, 1))
    before = [layer.weight() for layer in optimizer.layers]
    ours = TDLRT(model, torch.optim.SGD, lr=RATE, tolerance=TOLERANCE, core_steps=1)
    closures = evaluation(network, dense), evaluation(model, ours)
    for _ in range(4):
        optimizer.step(closures[0])
        if closure:
            ours.step(closures[1])
        else:
            closures[1]()
            ours.step()
    assert [layer.ranks for layer in ours.layers.values()] != [(3, 3, 3, 3)] * 2
    pairs = [(a, b) for a, b in zip(network, model, strict=True) if isinstance(b, Conv2d)]
    assert all(isinstance(a, PublishedConv) for a, _ in pairs)
    for (theirs, layer), start_weight in zip(pairs, before, strict=True):
        assert tuple(theirs.core.shape) == layer.ranks
        change = (theirs.weight() - start_weight).norm()
        assert float((layer.weight.detach() - theirs.weight()).norm() / change) < 1e-9
        torch.testing.assert_close(theirs.bias, layer.bias, rtol=0, atol=1e-11)
    torch.testing.assert_close(network[-1].weight, model[-1].weight, rtol=0, atol=1e-11)
