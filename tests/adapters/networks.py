"""Networks to adapt, and adapters of every kind."""

import torch
from torch import nn

from rankfold import adapters

KINDS = {
    "low_rank": adapters.LowRank(3),
    "rotations": adapters.Rotations(4),
    "reflections": adapters.Reflections(4),
    "stacked fft": adapters.StackedCUR(3),
    "stacked dct": adapters.StackedCUR(3, "dct"),
    "stacked none": adapters.StackedCUR(3, "none"),
}


def network(dtype=torch.float32) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(12, 12),
        nn.Tanh(),
        nn.Linear(12, 12),
        nn.Tanh(),
        nn.Linear(12, 12),
        nn.Tanh(),
        nn.Linear(12, 5),
    ).to(dtype)


def convolutions() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Embedding(7, 16),
        nn.Unflatten(2, (4, 2, 2)),
        nn.Flatten(0, 1),
        nn.Conv2d(4, 8, 3, padding=1, stride=1),
        nn.ConvTranspose2d(8, 4, 2),
        nn.Conv2d(4, 4, 2, groups=2),
        nn.Flatten(),
        nn.Linear(16, 3),
    )


def disturb(model: nn.Module, size: float = 0.3) -> None:
    """Random numbers into every adapter."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        seen = set()
        for _, adapted in adapters.adapted_layers(model):
            for parameter in adapted.change.parameters():
                if parameter not in seen:
                    parameter.add_(size * torch.randn(parameter.shape, generator=generator).to(parameter))
                    seen.add(parameter)


def one_step(model: nn.Module, x: torch.Tensor) -> None:
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.SGD(trained, lr=0.1)
    model(x).square().sum().backward()
    optimizer.step()
