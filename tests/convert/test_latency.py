from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tests.convert.models import LanguageModel
from torch import nn

from rankfold import Latency, OptionError, Quantum, factorize
from rankfold.convert._latency import largest_fitting, rank_levels
from rankfold.formats import checked_ranks
from rankfold.layers import FactorizedLayer
from rankfold.ranks import MeasuredPolicy


def reasons(conversion) -> list[str | None]:
    return [row.reason for row in conversion]


@pytest.mark.parametrize(
    ("seconds", "speedup", "rank"),
    [
        (1 / 100, 1, 96),
        (1 / 96, 1, 96),
        (1 / 95, 1, 80),
        (1 / 100, 2, 48),
        (1 / 1000, 1, 224),
        (1 / 30, 1.5, 16),
    ],
)
def test_the_largest_rank_in_time(clock, by_rank, seconds, speedup, rank) -> None:
    clock.cost = by_rank(seconds)
    model, image = nn.Sequential(nn.Conv2d(256, 256, 3)), torch.randn(1, 256, 3, 3)
    (row,) = factorize(model, Latency(example_inputs=image, speedup=speedup))
    assert row.ranks == (rank, rank, 3, 3)
    assert model[0].ranks == row.ranks
    assert len(clock.timed) <= 6  # bisection over 14 ranks, and once more the one that was found


def test_a_layer_that_is_never_fast_enough_stays_dense(clock, by_rank) -> None:
    clock.cost = by_rank(1.3 / 16)
    model = nn.Sequential(nn.Linear(100, 90))
    before, inputs = model[0], torch.randn(3, 100)
    conversion = factorize(model, Latency(example_inputs=inputs))
    assert reasons(conversion) == ["kept dense: at rank 16 it takes 1.30x the dense time"]
    assert model[0] is before
    assert "1.30x the dense time" in str(conversion)
    clock.cost = by_rank(0.8 / 16)
    conversion = factorize(model, Latency(example_inputs=inputs, speedup=2))
    assert reasons(conversion) == [
        "kept dense: at rank 16 it takes 0.80x the dense time, where 0.50x was asked for"
    ]


def test_reasons_that_need_no_clock(clock) -> None:
    model = nn.ModuleDict(
        {
            "used": nn.Linear(10, 10),
            "spare": nn.Linear(99, 99),
            "table": nn.Embedding(99, 40),
            "no": nn.Linear(40, 40),
        }
    )
    model.forward = lambda words: model["used"](model["no"](model["table"](words))[..., :10])
    conversion = factorize(model, Latency(example_inputs=torch.arange(5)), exclude="no")
    assert reasons(conversion) == [
        "kept dense: no rank that is a multiple of 16 saves parameters",
        "kept dense: the example inputs never reach it",
        "kept dense: a lookup only copies rows, to which low rank adds products",
        "excluded",
    ]
    assert clock.timed == []


def test_the_layer_is_timed_on_what_it_is_given(clock, by_rank) -> None:
    class Nested(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = nn.Sequential(nn.Conv2d(32, 32, 3, padding=1), nn.Flatten(), nn.Linear(800, 64))

        def forward(self, image):
            return self.body(image) + self.body(2 * image) + self.body(image[:2]).mean(0)

    model = Nested().double().train()
    image = torch.randn(4, 32, 5, 5, dtype=torch.float64).to(memory_format=torch.channels_last)
    clock.cost = by_rank(1 / 16)
    factorize(model, Latency(example_inputs=(image,), training=True))
    assert {training for _, _, training in clock.timed} == {True}
    (dense, layer), calls, _ = clock.timed[0]
    assert [(call.shape, call.times) for call in calls] == [((4, 32, 5, 5), 2), ((2, 32, 5, 5), 1)]
    assert calls[0].input().is_contiguous(memory_format=torch.channels_last)
    assert not calls[0].requires_grad
    assert clock.timed[-1][1][0].requires_grad
    assert isinstance(dense, nn.Conv2d)
    assert layer.training
    assert model.body[0].ranks == (16, 16, 3, 3)
    assert model.body[2].ranks == (16, 16)
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float64}


def test_the_layer_that_is_timed_is_of_the_kind_that_is_made(clock, by_rank) -> None:
    model = nn.Sequential(nn.Linear(64, 64).requires_grad_(False))
    bias, weight = model[0].bias.clone(), model[0].weight.clone()
    clock.cost = by_rank(1)
    factorize(model, Latency(example_inputs=torch.randn(2, 64)))
    layer = clock.timed[0][0][1]
    assert not any(parameter.requires_grad for parameter in layer.parameters())
    assert all(bool(parameter.isfinite().all()) for parameter in layer.parameters())
    assert not layer.training
    assert torch.equal(model[0].bias, bias)
    assert torch.equal(model[0].weight, weight)


def test_alike_layers_are_timed_once_and_get_the_same_ranks(clock, by_rank) -> None:
    model = nn.Sequential(*(nn.Linear(64, 64) for _ in range(5)))
    clock.cost = by_rank(1 / 16)
    conversion = factorize(model, Latency(example_inputs=torch.randn(2, 64)))
    assert [row.ranks for row in conversion] == [(16, 16)] * 5
    assert len(clock.timed) <= 2


def test_tied_layers_are_decided_together(clock) -> None:
    model = nn.ModuleDict({"table": nn.Embedding(200, 64), "output": nn.Linear(64, 200, bias=False)})
    model["output"].weight = model["table"].weight
    model.forward = lambda words: model["output"](model["table"](words))
    seconds = {"Embedding": 2.0, "Linear": 1.0}

    def cost(module: nn.Module) -> float:
        low_rank = isinstance(module, FactorizedLayer)
        kind = module.dense_class.__name__ if low_rank else type(module).__name__
        return (seconds[kind] if kind == "Embedding" else seconds[kind] * 0.1) if low_rank else 1.0

    clock.cost = cost
    policy = Latency(example_inputs=torch.arange(5))
    assert reasons(factorize(model, policy)) == ["kept dense: at rank 16 it takes 1.05x the dense time"] * 2
    seconds["Embedding"] = 1.5
    conversion = factorize(model, policy)
    assert [row.ranks for row in conversion] == [(32, 32)] * 2
    assert model["output"].core is model["table"].core


def test_nothing_is_changed_by_an_error(clock) -> None:
    model = LanguageModel()
    before = list(model.modules())
    with pytest.raises(IndexError):
        factorize(model, Latency(example_inputs=torch.full((1, 2), 77)))
    assert list(model.modules()) == before
    assert not any(module._forward_pre_hooks for module in before)


def test_with_the_clock_of_the_machine() -> None:
    model = nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 8))
    for training in (False, True):
        conversion = factorize(model, Latency(example_inputs=torch.randn(4, 64), training=training))
        assert len(conversion) >= 1
        assert model(torch.randn(4, 64)).shape == (4, 8)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"speedup": 0}, "Latency: speedup must be a number over 0"),
        ({"speedup": float("nan")}, "Latency: speedup must be a number over 0"),
        ({"speedup": True}, "Latency: speedup must be a number over 0"),
        ({"quantum": 0}, "Latency: quantum must be a whole number"),
        ({"example_inputs": None}, "Latency: example_inputs is None"),
    ],
)
def test_refused_options(options, message) -> None:
    with pytest.raises(OptionError, match=message):
        Latency(**{"example_inputs": torch.zeros(1), **options})


def test_a_shape_alone_has_no_time() -> None:
    policy = Latency(example_inputs=torch.zeros(1))
    assert isinstance(policy, MeasuredPolicy)
    with pytest.raises(OptionError, match=r"Quantum: Latency needs to see the weights.*rankfold.factorize"):
        Quantum(policy)


@given(st.lists(st.integers(1, 80), min_size=2, max_size=4).map(tuple), st.integers(1, 20), st.data())
def test_levels_rise_and_are_allowed(shape, quantum, data) -> None:
    modes = tuple(sorted(data.draw(st.sets(st.integers(0, len(shape) - 1), min_size=1))))
    levels = rank_levels(shape, modes, quantum)
    for ranks in levels:
        assert checked_ranks("test", ranks, shape, modes) == ranks
    for few, many in pairwise(levels):
        assert all(a <= b for a, b in zip(few, many, strict=True))


def test_levels_of_usual_layers() -> None:
    assert rank_levels((64, 64, 3, 3), (0, 1), 16) == [(16, 16), (32, 32), (48, 48)]
    assert rank_levels((256, 64), (0, 1), 16) == [(16, 16), (32, 32)]
    assert rank_levels((64, 3, 3, 3), (0, 1), 16) == [(16, 2)]
    assert rank_levels((64, 64, 3, 3), (2, 3), 16) == []
    assert rank_levels((64, 64, 3, 3), (0, 1, 2, 3), 32) == [(32, 32, 2, 2)]


@given(st.integers(0, 60), st.integers(0, 60))
def test_bisection(count: int, limit: int) -> None:
    expected = min(count, limit) - 1
    assert largest_fitting(count, lambda number: number < limit) == (expected if expected >= 0 else None)


def test_luck_does_not_last() -> None:
    tried: list[int] = []

    def fits(number: int) -> bool:
        tried.append(number)
        return number <= 9 if tried.count(number) == 1 else number <= 7

    assert largest_fitting(16, fits) == 8  # 9 had been lucky, and 8 is tried for the first time
    assert tried[-2:] == [9, 8]
