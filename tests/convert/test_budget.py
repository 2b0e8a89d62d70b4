"""Budgets of whole models: kept, spent to within one rank, and refused with what would be possible."""

import copy
import re
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.convert.models import Reused
from tests.ranks.weights import Small, answers, diagonal, folded_parameters, ranks
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

import rankfold as rf
from rankfold.convert import Timings, _timing
from rankfold.ranks import Choice, WeightView

IMAGES = torch.zeros(2, 6, 8, 8)


def size(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def multiplications(model: nn.Module, given: Tensor) -> int:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model.eval()(given)
    return counter.get_total_flops() // 2


class Spying:
    """A budget that keeps what it was asked and answered."""

    def __init__(self, budget: rf.Budget) -> None:
        self.budget, self.example_inputs, self.training = budget, budget.example_inputs, False

    def choose(self, weights: Sequence[WeightView]) -> list[Choice | str]:
        self.weights, self.choices = weights, self.budget.choose(weights)
        return self.choices

    def raised(self) -> list[tuple[WeightView, Choice, Choice]]:
        """Each choice beside what one rank more in one mode would be, where that is feasible."""
        found = []
        for weight, choice in zip(self.weights, self.choices, strict=True):
            if isinstance(choice, str):
                continue
            rows = set(zip(*(column.tolist() for column in weight.form(choice.modes).grid), strict=True))
            steps = torch.eye(len(choice.ranks), dtype=torch.long).tolist()
            matrix = len(weight.shape) == 2
            for step in [[1, 1]] if matrix else steps:
                more = tuple(rank + one for rank, one in zip(choice.ranks, step, strict=True))
                if more in rows:
                    found.append((weight, choice, Choice(choice.modes, more)))
        return found


@settings(max_examples=25)
@given(st.floats(0.1, 1.0), st.integers(0, 3))
def test_parameters_are_spent_to_within_one_rank(share: float, seed: int) -> None:
    torch.manual_seed(seed)
    model = Small()
    total, spy = size(model), Spying(rf.Budget(params=share))
    spent = folded_parameters(model, spy)
    assert spent <= share * total
    for weight, choice, more in spy.raised():
        form = weight.form(choice.modes)
        price = form.parameters(more.ranks) - form.parameters(choice.ranks)
        assert spent + price > share * total or form.lost(more.ranks) >= form.lost(choice.ranks)


@settings(max_examples=15)
@given(st.floats(0.3, 1.0), st.integers(0, 3))
def test_multiplications_are_spent_to_within_one_rank(share: float, seed: int) -> None:
    torch.manual_seed(seed)
    model = Small()
    total, spy = multiplications(model, IMAGES), Spying(rf.Budget(flops=share, example_inputs=IMAGES))
    folded = copy.deepcopy(model)
    rf.factorize(folded, spy)
    spent = multiplications(rf.fold(folded), IMAGES)
    assert spent <= share * total
    for weight, choice, more in spy.raised():
        form, positions = weight.form(choice.modes), weight.positions
        price = form.multiplications(more.ranks, positions) - form.multiplications(choice.ranks, positions)
        assert spent + price > share * total or form.lost(more.ranks) >= form.lost(choice.ranks)


def test_counts_are_taken_like_shares() -> None:
    model = Small()
    total = size(model)
    assert answers(model, rf.Budget(params=total // 2)) == answers(
        model, rf.Budget(params=total // 2 / total)
    )
    work = multiplications(model, IMAGES)
    by_count = rf.Budget(flops=work // 2, example_inputs=IMAGES)
    assert answers(model, by_count) == answers(model, rf.Budget(flops=0.5, example_inputs=IMAGES))


def test_the_whole_budget_loses_nothing() -> None:
    for row in answers(Small(), rf.Budget(params=1.0)):
        assert row[1:] == (None, "kept dense: within the budget no rank is worth its error")
    # Where nothing is lost the cheaper form is taken all the same.
    assert ranks(diagonal(3.0, 2.0, 1.0, size=10), rf.Budget(params=1.0)) == [(3, 3)]


def test_the_layer_with_the_steeper_spectrum_gives_more() -> None:
    steep, flat = 0.3 ** torch.arange(20.0), torch.ones(20)
    model = nn.Sequential(*diagonal(*steep.tolist()), *diagonal(*flat.tolist()))
    first, second = ranks(model, rf.Budget(params=0.75))
    assert first is not None
    assert first[0] < 8
    assert second is None


def test_a_shared_weight_counts_once() -> None:
    model = Reused()
    total = size(model)  # one weight of 64 and two biases of 8
    assert total == 80
    (row,) = {row[1:] for row in answers(model, rf.Budget(params=0.65))}
    assert row[0] == (2, 2)  # 2 * 16 + 16 = 48 of 52
    assert folded_parameters(model, rf.Budget(params=0.65)) <= 52


def test_what_is_excluded_counts_too() -> None:
    model = nn.Sequential(nn.Linear(20, 20, bias=False), nn.Linear(20, 20, bias=False))
    rf.factorize(model, rf.Budget(params=0.6), exclude="1")
    assert size(rf.fold(model)) <= 480
    assert size(rf.fold(model)) > 480 - 40


@pytest.mark.parametrize("name", ["params", "flops"])
def test_out_of_reach_it_says_what_is_possible(name: str) -> None:
    model = Small()
    inputs = None if name == "params" else IMAGES
    with pytest.raises(rf.OptionError, match=f"Budget: {name}: 0.01 cannot be reached: of ") as caught:
        rf.factorize(model, rf.Budget(**{name: 0.01}, example_inputs=inputs))
    assert all(not isinstance(layer, rf.layers.FactorizedLayer) for layer in model.modules())
    least = float(re.search(r"at least a share of ([\d.]+)\.$", str(caught.value))[1])
    answers(model, rf.Budget(**{name: least}, example_inputs=inputs))
    with pytest.raises(rf.OptionError):
        answers(model, rf.Budget(**{name: least - 2e-4}, example_inputs=inputs))


def test_lookups_cost_no_multiplications() -> None:
    model = nn.Sequential(nn.Embedding(50, 16), nn.Linear(16, 40, bias=False))
    tokens = torch.zeros(2, 5, dtype=torch.long)
    rows = answers(model, rf.Budget(flops=0.5, example_inputs=tokens))
    assert [row[1] is None for row in rows] == [True, False]


class Clock:
    """Times layers by their number of parameters, and counts the kinds of layers it was given."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, modules: Sequence[nn.Module], calls: object, *, training: bool = False) -> Timings:
        self.calls += 1
        times = [sum(parameter.numel() for parameter in module.parameters()) * 1e-6 for module in modules]
        return Timings(tuple((seconds,) * 3 for seconds in times))


def test_time_is_spent_on_ranks_that_were_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(_timing, "time_layers", clock)
    model = nn.Sequential(*(nn.Linear(96, 96, bias=False) for _ in range(3)), nn.Linear(96, 64, bias=False))
    spy = Spying(rf.Budget(latency=0.7, example_inputs=torch.zeros(4, 96)))
    rf.factorize(model, spy)
    dense, spent = 3 * 96 * 96 + 96 * 64, 0
    for weight, choice in zip(spy.weights, spy.choices, strict=True):
        if isinstance(choice, str):
            spent += weight.weight.numel()
        else:
            assert all(rank % 16 == 0 for rank in choice.ranks)
            spent += sum(weight.shape[mode] * choice.ranks[0] for mode in (0, 1))  # timed as it folds
    assert 0.5 * dense < spent <= 0.7 * dense
    assert clock.calls == 2  # the three that are alike are timed once


@pytest.mark.parametrize("budget", [{"params": 0.6}, {"flops": 0.6}], ids=str)
def test_only_ranks_faster_than_dense(budget: dict[str, float], monkeypatch: pytest.MonkeyPatch) -> None:
    class SlowChains(Clock):
        def __call__(self, modules: Sequence[nn.Module], calls: object, *, training: bool = False) -> Timings:
            self.calls += 1
            sizes = [sum(parameter.numel() for parameter in module.parameters()) for module in modules]
            chains = [isinstance(module, nn.Sequential) for module in modules]
            return Timings(
                tuple((size * (1.6 if chain else 1),) * 3 for size, chain in zip(sizes, chains, strict=True))
            )

    clock = SlowChains()
    monkeypatch.setattr(_timing, "time_layers", clock)
    torch.manual_seed(0)
    model = nn.Sequential(*(nn.Linear(96, 96, bias=False) for _ in range(3)), nn.Linear(96, 20, bias=False))
    spy = Spying(rf.Budget(**budget, faster=True, example_inputs=torch.zeros(4, 96)))
    rf.factorize(model, spy)
    # A chain of rank r takes 1.6 * 2 * 96 r against 96^2: 16 is faster, 32 is not; the last layer has no fast rank.
    ranks = [None if isinstance(choice, str) else max(choice.ranks) for choice in spy.choices]
    assert ranks[-1] is None
    assert all(rank is None or rank <= 16 for rank in ranks)
    assert any(rank is not None for rank in ranks)
    with pytest.raises(rf.OptionError, match=r"Budget: example_inputs is None; .* for its (speed|flops)"):
        rf.factorize(nn.Sequential(nn.Linear(96, 96)), rf.Budget(**budget, faster=True))


def test_time_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_timing, "time_layers", Clock())
    with pytest.raises(rf.OptionError, match=r"Budget: latency: 0\.01 cannot be reached: of .* seconds"):
        answers(nn.Sequential(nn.Linear(96, 96)), rf.Budget(latency=0.01, example_inputs=torch.zeros(4, 96)))


@pytest.mark.parametrize("name", ["flops", "latency"])
def test_what_depends_on_inputs_asks_for_them(name: str) -> None:
    message = (
        f"Budget: example_inputs is None; pass what the model is called with, for its {name} depends on it"
    )
    with pytest.raises(rf.OptionError, match=message):
        answers(Small(), rf.Budget(**{name: 0.5}))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "Budget: got 0 of params, flops and latency; pass exactly one"),
        ({"params": 0.5, "flops": 0.5}, "Budget: got 2 of params, flops and latency"),
        ({"params": 0.0}, "Budget: params must be a float in .* got 0.0"),
        ({"params": 1.5}, "got 1.5"),
        ({"params": 0}, "got 0"),
        ({"params": True}, "got True"),
        ({"params": "0.5"}, "got '0.5'"),
        ({"params": float("nan")}, "got nan"),
        ({"flops": -3, "example_inputs": IMAGES}, "Budget: flops must be .* got -3"),
        ({"latency": 2, "example_inputs": IMAGES}, r"Budget: latency must lie in \(0, 1\], a share .* got 2"),
        ({"latency": 0.0, "example_inputs": IMAGES}, "got 0.0"),
        ({"params": 0.5, "example_inputs": IMAGES}, "Budget: params does not depend on example_inputs"),
    ],
)
def test_refused_arguments(options: dict, message: str) -> None:
    with pytest.raises(rf.OptionError, match=message):
        rf.Budget(**options)
