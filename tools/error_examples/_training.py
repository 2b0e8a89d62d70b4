"""What stops a training, and optimisers that do not fit."""

import torch
from torch import nn

import rankfold as rf
from rankfold import NonFiniteError, OptimizerError
from tools.error_examples._example import shows


@shows(OptimizerError)
def no_factorised_layer() -> None:
    """Training a model that was not factorised."""
    rf.TDLRT(nn.Linear(20, 10), torch.optim.SGD, lr=0.1)


@shows(OptimizerError)
def unknown_inner_optimiser() -> None:
    """Taking an inner optimiser that the library does not know."""
    model = nn.Sequential(nn.Linear(20, 10))
    rf.factorize(model)
    rf.TDLRT(model, torch.optim.Rprop, lr=0.1)


@shows(OptimizerError)
def ranks_changed_behind_its_back() -> None:
    """Changing ranks without the optimiser that trains them."""
    model = nn.Sequential(nn.Linear(20, 10))
    rf.factorize(model, 4)
    optimizer = rf.TDLRT(model, torch.optim.SGD, lr=0.1)
    rf.set_ranks(model, 3)
    model(torch.ones(2, 20)).sum().backward()
    optimizer.step()


@shows(OptimizerError)
def two_backward_passes() -> None:
    """Adding up gradients of two batches without accumulate=True."""
    model = nn.Sequential(nn.Linear(20, 10))
    rf.factorize(model, 4)
    optimizer = rf.TDLRT(model, torch.optim.SGD, core_steps=1, lr=0.1)
    for _ in range(2):
        model(torch.ones(2, 20)).sum().backward()
    optimizer.step()


@shows(NonFiniteError)
def gradient_is_nan() -> None:
    """Training on a batch that gives NaN: layers and step are named."""
    model = nn.Sequential(nn.Linear(20, 10), nn.ReLU(), nn.Linear(10, 10))
    rf.factorize(model)
    optimizer = rf.TDLRT(model, torch.optim.SGD, lr=0.1)
    model(torch.full((2, 20), float("nan"))).sum().backward()
    optimizer.step()
