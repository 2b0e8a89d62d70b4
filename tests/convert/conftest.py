"""Times that a test decides."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from rankfold.convert import _timing
from rankfold.convert._timing import Timings
from rankfold.layers import FactorizedLayer
from rankfold.ranks import Call

Cost = Callable[[nn.Module], float]


class Clockwork:
    """Stands for the clock: a module takes ``cost(module)`` seconds per sample; it notes what was timed."""

    def __init__(self) -> None:
        self.cost: Cost = lambda module: 1.0
        self.noise = (1.0,) * 5
        self.timed: list[tuple[list[nn.Module], tuple[Call, ...], bool]] = []

    def time_layers(self, modules, calls, *, training=False) -> Timings:
        assert calls
        self.timed.append((list(modules), tuple(calls), training))
        for call in calls:  # they can at least be run
            for module in modules:
                module(call.input(), *call.arguments, **call.options)
        samples = sum(call.times * call.shape[0] for call in calls)
        rounds = tuple(
            tuple(samples * self.cost(module) * (factor if side else 1) for factor in self.noise)
            for side, module in enumerate(modules)
        )
        return Timings(rounds)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clockwork:
    clockwork = Clockwork()
    monkeypatch.setattr(_timing, "time_layers", clockwork.time_layers)
    return clockwork


@pytest.fixture
def by_rank() -> Callable[[float], Cost]:
    """``by_rank(0.01)`` makes a factorised layer take 0.01 seconds per rank, and a dense one 1."""

    def make(seconds: float) -> Cost:
        def cost(module: nn.Module) -> float:
            return seconds * max(module.ranks[:2]) if isinstance(module, FactorizedLayer) else 1.0

        return cost

    return make


@pytest.fixture(autouse=True)
def _restore_generator():
    state = torch.get_rng_state()
    yield
    torch.set_rng_state(state)
