"""A small network with every kind of parameter, and one way to train it."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rankfold import TDLRT, factorize
from rankfold.convert import factorized_layers


def network(seed: int = 0, rank: float | int = 0.5, dtype: torch.dtype = torch.float32) -> nn.Module:
    """A convolution, a batch norm, two linear layers; all layers factorised."""
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(2, 8, 3, padding=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(8 * 16, 24),
        nn.ReLU(),
        nn.Linear(24, 5),
    ).to(dtype)
    factorize(model, rank, rescale=True)
    return model


def batch(seed: int = 0, size: int = 32, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(size, 2, 4, 4, generator=generator).to(dtype)
    targets = torch.randint(0, 5, (size,), generator=generator)
    return inputs, targets


def one_step(model: nn.Module, optimizer: torch.optim.Optimizer, seed: int, closure: bool = False) -> float:
    x, y = batch(seed, dtype=next(model.parameters()).dtype)

    def evaluate() -> Tensor:
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        return loss

    if closure:
        return float(optimizer.step(evaluate).detach())
    loss = evaluate()
    optimizer.step()
    return float(loss.detach())


def tdlrt(model: nn.Module, inner: type[torch.optim.Optimizer] = torch.optim.SGD, **options: Any) -> TDLRT:
    defaults = {"lr": 0.05, "tolerance": 0.1, "core_steps": 3}
    if inner is torch.optim.SGD:
        defaults["momentum"] = 0.9
    else:
        defaults["lr"] = 0.01
    return TDLRT(model, inner, **{**defaults, **options})


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def same(first: dict[str, Tensor], second: dict[str, Tensor]) -> bool:
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)


def weights(model: nn.Module) -> dict[str, Tensor]:
    return {name: layer.weight.detach().clone() for name, layer in factorized_layers(model)}
