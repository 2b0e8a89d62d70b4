"""Models whose layers cannot be selected or converted as asked."""

import torch
from torch import Tensor, nn

import rankfold as rf
from rankfold import ConversionError, NonFiniteError, RankError, SelectorError
from tools.error_examples._example import shows


@shows(SelectorError)
def pattern_without_match() -> None:
    """Selecting layers by a pattern that matches none."""
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Flatten(), nn.Linear(8, 10))
    rf.factorize(model, include="conv")


@shows(SelectorError)
def nothing_factorised_yet() -> None:
    """Setting ranks in a model that has no factorised layer."""
    rf.set_ranks(nn.Sequential(nn.Linear(20, 10)), 4)


@shows(ConversionError)
def another_way_for_dense_layers() -> None:
    """Converting a layer for whose class the model has a way of its own."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Linear(20, 10)

        def forward(self, x: Tensor) -> Tensor:
            return 2 * self.layer(x) if type(self.layer) is nn.Linear else self.layer(x)

    rf.factorize(Net(), example_inputs=torch.ones(4, 20))


@shows(ConversionError)
def weight_read_by_the_model() -> None:
    """Compressing a table whose weight the model reads itself, to use it twice."""

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = nn.Embedding(30, 16)

        def forward(self, tokens: Tensor) -> Tensor:
            return self.table(tokens) @ self.table.weight.T

    rf.compress(Net(), 4, calibration=[torch.arange(30).view(5, 6)])


@shows(NonFiniteError)
def broken_weight() -> None:
    """Converting a model with a broken weight: the layer is named."""
    model = nn.Sequential(nn.Linear(20, 10), nn.ReLU(), nn.Linear(10, 10))
    with torch.no_grad():
        model[2].weight[3, 4] = float("inf")
    rf.factorize(model, rf.Energy(0.9))


@shows(RankError)
def more_than_the_optimiser_keeps() -> None:
    """Setting ranks that the optimiser would not keep."""
    model = nn.Sequential(nn.Linear(20, 10))
    rf.factorize(model, 4)
    optimizer = rf.TDLRT(model, torch.optim.SGD, max_rank=4, lr=0.1)
    rf.set_ranks(model, 6, optimizer=optimizer)
