"""Arguments outside their allowed values."""

import torch
from torch import nn

import rankfold as rf
from rankfold import OptionError
from tools.error_examples._example import shows


@shows(OptionError)
def unknown_name() -> None:
    """Mistyping a name: the known ones are listed."""
    model = nn.Sequential(nn.Linear(20, 10))
    rf.factorize(model)
    rf.TDLRT(model, torch.optim.SGD, integrator="euler", lr=0.1)


@shows(OptionError)
def out_of_range() -> None:
    """Giving a number out of range."""
    rf.Energy(90)


@shows(OptionError)
def text_of_a_policy() -> None:
    """Writing a rank policy with an option that it does not have."""
    rf.parse_policy("energy=0.9 level=2")


@shows(OptionError)
def budget_out_of_reach() -> None:
    """Asking for a budget that even rank 1 everywhere exceeds."""
    rf.factorize(nn.Sequential(nn.Linear(20, 10)), rf.Budget(params=0.1))


@shows(OptionError)
def method_without_masks() -> None:
    """Asking a method for what it cannot do: those that can are listed."""
    rf.cp(torch.rand(4, 5, 6), 2, method="algebraic", mask="nan")


@shows(OptionError)
def policy_without_weights() -> None:
    """Passing a policy that looks at weights where only a shape is known."""
    model = nn.Sequential(nn.Linear(20, 10))
    rf.factorize(model)
    rf.TDLRT(model, torch.optim.SGD, max_rank=rf.Energy(0.9), lr=0.1)


@shows(OptionError)
def no_batches() -> None:
    """Calibrating with a tensor instead of batches."""
    model = nn.Sequential(nn.Linear(20, 10))
    rf.compress(model, rf.Budget(params=0.5), calibration=torch.rand(100, 20))


@shows(OptionError)
def no_module() -> None:
    """Passing what is no module."""
    rf.factorize("resnet20")


@shows(OptionError)
def own_policy_with_one_answer() -> None:
    """Writing a policy that does not answer for every weight."""

    class Low:
        def choose(self, weights: object) -> str:
            return "kept dense: as an example"

    rf.factorize(nn.Sequential(nn.Linear(20, 10), nn.Linear(10, 10)), Low())
