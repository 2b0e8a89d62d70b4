"""Every rank policy keeps the contract of policies."""

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor, nn

import rankfold as rf
from rankfold.convert import POLICIES, Timings, _timing
from rankfold.testing import PolicyContract


@pytest.fixture(autouse=True)
def steady_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times layers by their number of parameters."""

    def seconds(modules: Sequence[nn.Module], calls: object, *, training: bool = False) -> Timings:
        return Timings(tuple((sum(p.numel() for p in module.parameters()) * 1e-6,) * 3 for module in modules))

    monkeypatch.setattr(_timing, "time_layers", seconds)


class NamedContract(PolicyContract):
    text: str

    def policy(self, example_inputs: Tensor) -> rf.RankPolicy:
        return rf.parse_policy(self.text, example_inputs)


class TestFixed(NamedContract):
    text = "fixed=8"


class TestFraction(NamedContract):
    text = "fraction=0.5"


class TestEnergy(NamedContract):
    text = "energy=0.9"


class TestTolerance(NamedContract):
    text = "tolerance=0.3"


class TestEVBMF(NamedContract):
    text = "evbmf"


class TestBudget(NamedContract):
    text = "budget params=0.6"


class TestBudgetOfMultiplications(NamedContract):
    text = "budget flops=0.7"


class TestBudgetOfTime(NamedContract):
    text = "budget latency=0.9"


class TestFasterBudget(NamedContract):
    text = "budget params=0.6 faster=1"


class TestLatency(NamedContract):
    text = "latency quantum=4"


class TestQuantum(PolicyContract):
    def policy(self, example_inputs: Tensor) -> rf.RankPolicy:
        return rf.Quantum(0.4, quantum=4)


class TestSensitivity(PolicyContract):
    def policy(self, example_inputs: Tensor) -> rf.RankPolicy:
        return rf.Sensitivity(
            lambda model: model(example_inputs).double().square().mean().log1p(), params=0.6, levels=3
        )


class TestFunction(PolicyContract):
    """A function of shape and modes, as factorize takes it."""

    def policy(self, example_inputs: Tensor) -> rf.RankPolicy:
        return rf.ranks.as_policy(lambda shape, modes: (1,) * len(modes))


def test_no_policy_is_left_out() -> None:
    tested = {contract.text.replace("=", " ").split()[0] for contract in NamedContract.__subclasses__()}
    assert tested == set(POLICIES)


class OneTooMany(PolicyContract):
    def policy(self, example_inputs: Tensor) -> rf.RankPolicy:
        class Policy:
            def choose(self, weights: Sequence[rf.ranks.WeightView]) -> list[rf.ranks.Choice | str]:
                return [rf.ranks.Choice(weight.modes[0], weight.shape[:2]) for weight in weights]

        return Policy()


class Careless(PolicyContract):
    def policy(self, example_inputs: Tensor) -> rf.RankPolicy:
        class Policy:
            def choose(self, weights: Sequence[rf.ranks.WeightView]) -> list[str]:
                weights[0].weight.data.mul_(1 + torch.finfo(torch.float32).eps)
                return ["kept dense: it was looked at"] * len(weights)

        return Policy()


@pytest.mark.parametrize("contract", [OneTooMany(), Careless()], ids=lambda contract: type(contract).__name__)
def test_the_contract_can_be_broken(contract: PolicyContract) -> None:
    with pytest.raises(AssertionError):
        contract.test_answers_are_possible_and_the_same_again("random")
