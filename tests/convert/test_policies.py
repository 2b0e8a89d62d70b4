"""What every rank policy that text can name must do."""

import copy
from collections.abc import Callable, Sequence
from math import prod

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import rankfold as rf
from rankfold.convert import POLICIES, Timings, _timing
from rankfold.ranks import Choice, WeightView, lowered

INPUTS = torch.zeros(2, 6, 5, 5)
EXAMPLES = [info.example for info in POLICIES.values()]
FURTHER = [
    "budget flops=0.6",
    "budget latency=0.9",
    "budget params=300",
    "fraction=1.0",
    "energy=1.0",
    "tolerance=0",
]


@pytest.fixture(autouse=True)
def steady_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    """Times layers by their number of parameters."""

    def seconds(modules: Sequence[nn.Module], calls: object, *, training: bool = False) -> Timings:
        return Timings(tuple((sum(p.numel() for p in module.parameters()) * 1e-6,) * 3 for module in modules))

    monkeypatch.setattr(_timing, "time_layers", seconds)


WEIGHTS: dict[str, Callable[[tuple[int, ...], torch.Generator], Tensor]] = {
    "zero": lambda shape, generator: torch.zeros(shape),
    "ones": lambda shape, generator: torch.ones(shape),
    "rank 1": lambda shape, generator: torch.einsum(
        "i,j->ij",
        torch.randn(shape[0], generator=generator),
        torch.randn(prod(shape[1:]), generator=generator),
    ).reshape(shape),
    "random": lambda shape, generator: torch.randn(shape, generator=generator),
    "tiny": lambda shape, generator: torch.randn(shape, generator=generator) * 1e-20,
    "huge": lambda shape, generator: torch.randn(shape, generator=generator) * 1e19,
}


class Recorded:
    """A policy that keeps what it chose."""

    training = False

    def __init__(self, policy: rf.RankPolicy) -> None:
        self.policy, self.example_inputs = policy, getattr(policy, "example_inputs", None)
        self.choices: list[Choice | str] = []

    def choose(self, weights: Sequence[WeightView]) -> Sequence[Choice | str]:
        self.choices = list(self.policy.choose(weights))
        for weight, choice in zip(weights, self.choices, strict=True):
            if isinstance(choice, str):
                assert choice.startswith("kept dense: ")
            else:
                assert choice.modes in weight.modes
                assert lowered(choice.ranks, weight.shape, choice.modes) == choice.ranks
                assert all(rank >= 1 for rank in choice.ranks)
        return self.choices


def network(data: st.DataObject) -> nn.Sequential:
    """A convolution, grouped or not, and a linear layer, of drawn sizes and weights; run on ``INPUTS``."""
    groups, channels = data.draw(st.sampled_from([1, 2, 3])), 6 * data.draw(st.integers(1, 6))
    maps = nn.Conv2d(6, channels, data.draw(st.sampled_from([1, 3, 5])), groups=groups, padding=2)
    head = nn.Linear(channels, data.draw(st.integers(2, 40)))
    generator = torch.Generator().manual_seed(data.draw(st.integers(0, 9)))
    for layer in (maps, head):
        kind = WEIGHTS[data.draw(st.sampled_from(sorted(WEIGHTS)))]
        layer.weight.data = kind(tuple(layer.weight.shape), generator)
    return nn.Sequential(maps, nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)


def choices(model: nn.Module, text: str) -> list[Choice | str] | str:
    """What a policy chooses, or why it cannot."""
    policy = Recorded(rf.parse_policy(text, INPUTS))
    try:
        rf.factorize(copy.deepcopy(model), policy)
    except rf.OptionError as error:
        return str(error)
    return policy.choices


@pytest.mark.parametrize("text", EXAMPLES + FURTHER)
@settings(max_examples=10)
@given(data=st.data())
def test_ranks_are_feasible_deterministic_and_free_of_scale(text: str, data: st.DataObject) -> None:
    model = network(data)
    found = choices(model, text)
    assert not isinstance(found, str) or (text.startswith("budget") and "cannot be reached" in found)
    assert choices(model, text) == found
    for layer in (model[0], model[-1]):
        layer.weight.data *= 2.0 ** data.draw(st.integers(-20, 20))
    assert choices(model, text) == found


@pytest.mark.parametrize("text", sorted(set(EXAMPLES) | set(FURTHER)))
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_dtypes(text: str, dtype: torch.dtype) -> None:
    model = nn.Sequential(nn.Linear(40, 48)).to(dtype)
    rf.factorize(model, rf.parse_policy(text, torch.zeros(2, 40, dtype=dtype)))


@pytest.mark.parametrize("text", sorted(set(EXAMPLES) | set(FURTHER)))
def test_a_weight_that_is_not_finite_is_named(text: str) -> None:
    model = nn.Sequential(nn.Linear(96, 96))
    model[0].weight.data[3, 4] = float("nan")
    with pytest.raises(rf.NonFiniteError, match="layer '0': "):
        rf.factorize(model, rf.parse_policy(text, torch.zeros(2, 96)))
    assert type(model[0]) is nn.Linear


@pytest.mark.parametrize("text", sorted(set(EXAMPLES) | set(FURTHER)))
def test_a_model_without_layers_to_convert_stays_as_it_is(text: str) -> None:
    assert list(rf.factorize(nn.Sequential(nn.ReLU()), rf.parse_policy(text, INPUTS))) == []


@pytest.mark.parametrize("name", POLICIES)
def test_records_are_complete(name: str) -> None:
    info = POLICIES[name]
    assert info.name == name == info.example.replace("=", " ").split()[0]
    assert info.summary
    assert info.summary[0].islower()
    assert not info.summary.endswith(".")
    policy = rf.parse_policy(info.example, INPUTS)
    assert isinstance(policy, rf.RankPolicy)
    assert type(policy).__name__ in rf.__all__


@pytest.mark.parametrize(
    ("text", "policy"),
    [
        ("fixed=8", rf.Fixed(8)),
        ("fixed rank=8", rf.Fixed(8)),
        ("fraction=0.5", rf.Fraction(0.5)),
        ("  energy=0.9 ", rf.Energy(0.9)),
        ("energy share=9e-1", rf.Energy(0.9)),
        ("tolerance=0", rf.Tolerance(0)),
        ("evbmf", rf.EVBMF()),
    ],
)
def test_text_means(text: str, policy: rf.RankPolicy) -> None:
    assert rf.parse_policy(text) == policy
    assert rf.parse_policy(text, INPUTS) == policy


def test_text_of_policies_that_measure() -> None:
    budget = rf.parse_policy("budget params=0.2", INPUTS)
    assert isinstance(budget, rf.Budget)
    assert (budget.params, budget.example_inputs) == (0.2, None)
    budget = rf.parse_policy("budget flops=1000", INPUTS)
    assert isinstance(budget, rf.Budget)
    assert (budget.flops, type(budget.flops), budget.example_inputs) == (1000, int, INPUTS)
    latency = rf.parse_policy("latency=1.5 quantum=8", INPUTS)
    assert isinstance(latency, rf.Latency)
    assert (latency.speedup, latency.quantum, latency.example_inputs) == (1.5, 8, INPUTS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "",
            r"rank policy: got '', known are budget, energy, evbmf, fixed, fraction, latency, tolerance; choose one",
        ),
        ("energie=0.9", r"rank policy: got 'energie', known are .*; choose one of these\."),
        (
            "energy",
            r"rank policy 'energy': got no option, energy needs share; write it as in 'energy=0\.9'\.",
        ),
        (
            "budget",
            r"rank policy 'budget': got no option, budget needs params or flops .* as in 'budget params=0\.2'\.",
        ),
        (
            "budget 0.2",
            r"rank policy 'budget 0\.2': '0\.2' is not an option, budget takes params or flops or latency",
        ),
        (
            "energy=0.9 level=2",
            r"'level=2' is not an option, energy takes share; write it as in 'energy=0\.9'\.",
        ),
        (
            "evbmf=3",
            r"rank policy 'evbmf=3': 'evbmf=3' is not an option, evbmf takes no options; write it as in 'evbmf'\.",
        ),
        (
            "energy=0.9 share=0.8",
            r"rank policy 'energy=0\.9 share=0\.8': share is given twice; give it once\.",
        ),
        ("energy=", r"rank policy 'energy=': share must be a number, got ''; write it as in 'energy=0\.9'\."),
        ("energy=much", r"share must be a number, got 'much';"),
        ("energy=2", r"Energy: share must lie in \(0, 1\], got 2;"),
        ("fixed=2.5", r"Fixed: rank must be a whole number of at least 1, got 2\.5; pass one\."),
        ("budget params=0.2 flops=0.2", r"Budget: got 2 of params, flops and latency"),
        ("latency", r"Latency: example_inputs is None"),
    ],
)
def test_refused_text(text: str, message: str) -> None:
    with pytest.raises(rf.OptionError, match=message):
        rf.parse_policy(text)
