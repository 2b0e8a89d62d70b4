"""Networks of given weights, and what a policy makes of them."""

import copy
from collections.abc import Sequence

import torch
from torch import Tensor, nn

import rankfold as rf
from rankfold.convert import ConvertedLayer
from rankfold.ranks import Choice, RankPolicy, WeightView


def linear(weight: Tensor) -> nn.Sequential:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=weight.dtype)
    layer.weight.data = weight.clone()
    return nn.Sequential(layer)


def diagonal(*values: float, size: int | None = None) -> nn.Sequential:
    weight = torch.zeros(size or len(values), size or len(values), dtype=torch.float64)
    weight.diagonal()[: len(values)] = torch.tensor(values, dtype=torch.float64)
    return linear(weight)


class Small(nn.Module):
    """A little of everything, run on ``(2, 6, 8, 8)``."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(6, 24, 3, padding=1)
        self.grouped = nn.Conv2d(24, 16, 3, groups=2, stride=2)
        self.up = nn.ConvTranspose2d(16, 10, 2)
        self.line = nn.Conv1d(10, 12, 3)
        self.head = nn.Linear(168, 20)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.up(torch.relu(self.grouped(torch.relu(self.first(images)))))
        return self.head(self.line(maps.flatten(2)).flatten(1))


def answers(model: nn.Module, policy: RankPolicy) -> list[tuple[str, tuple[int, ...] | None, str | None]]:
    rows: Sequence[ConvertedLayer] = list(rf.factorize(copy.deepcopy(model), policy))
    return [(row.name, row.ranks, row.reason) for row in rows]


def ranks(model: nn.Module, policy: RankPolicy) -> list[tuple[int, ...] | None]:
    return [ranks for _, ranks, _ in answers(model, policy)]


def folded_parameters(model: nn.Module, policy: RankPolicy) -> int:
    model = copy.deepcopy(model)
    rf.factorize(model, policy)
    return sum(parameter.numel() for parameter in rf.fold(model).parameters())


def views(model: nn.Module, example_inputs: Tensor | None = None) -> list[WeightView]:
    """What a policy sees of a model."""
    seen: list[WeightView] = []

    class Look:
        training = False

        def __init__(self) -> None:
            self.example_inputs = example_inputs

        def choose(self, weights: Sequence[WeightView]) -> Sequence[Choice | str]:
            seen.extend(weights)
            return ["seen"] * len(weights)

    rf.factorize(model, Look())
    return seen
