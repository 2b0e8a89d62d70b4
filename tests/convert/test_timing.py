import copy

import pytest
import torch
from torch import nn

from rankfold.convert._calls import recorded_calls
from rankfold.convert._timing import Timings, measure, time_layers
from rankfold.layers import Linear


class Clock:
    """Advances when a side is called."""

    def __init__(self) -> None:
        self.now = 0.0
        self.order: list[str] = []

    def side(self, name: str, *seconds: float):
        remaining = list(seconds)

        def run() -> None:
            self.order.append(name)
            self.now += remaining.pop(0) if len(remaining) > 1 else remaining[0]

        return run

    def measure(self, *sides) -> Timings:
        return measure(sides, lambda: self.now, lambda: None)


def test_seconds_per_call() -> None:
    clock = Clock()
    timings = clock.measure(clock.side("a", 0.5), clock.side("b", 0.0001))
    assert timings.seconds(0) == pytest.approx(0.5)
    assert timings.seconds(1) == pytest.approx(0.0001)
    assert timings.ratio(1) == pytest.approx(0.0002)
    assert timings.ratio(0, 1) == pytest.approx(5000)


def test_short_calls_are_repeated_and_sides_take_turns() -> None:
    clock = Clock()
    clock.measure(clock.side("a", 0.5), clock.side("b", 0.0011))
    rounds = clock.order[6:]  # after two warm-ups and one trial of each
    assert rounds == [*"abbbb", *"bbbba", *"abbbb", *"bbbba", *"abbbb"]


def test_the_warm_up_is_not_counted() -> None:
    clock = Clock()
    assert clock.measure(clock.side("a", 9.0, 9.0, 0.1)).seconds(0) == pytest.approx(0.1)


def test_the_device_is_waited_for() -> None:
    clock, pending = Clock(), []

    def wait() -> None:
        clock.now += len(pending)
        pending.clear()

    timings = measure([lambda: pending.append(1)], lambda: clock.now, wait)
    assert timings.seconds(0) == 1


def test_sums_and_ratios_go_round_by_round() -> None:
    timings = Timings(((1.0, 2.0, 4.0), (2.0, 1.0, 4.0)))
    assert timings.ratios(1) == [0.5, 1.0, 2.0]
    assert (timings + timings.times(2)).rounds == ((3.0, 6.0, 12.0), (6.0, 3.0, 12.0))


@pytest.mark.parametrize("training", [False, True])
def test_modules_are_left_as_they_were(training: bool) -> None:
    dense = nn.Linear(20, 10)
    model = nn.Sequential(dense, nn.ReLU())
    hooked = []
    dense.register_forward_hook(lambda *_: hooked.append(1))
    calls = recorded_calls(model, [dense], torch.randn(3, 20), training=training)[dense]
    hooked.clear()
    before, generator = copy.deepcopy(dense.state_dict()), torch.get_rng_state()
    timings = time_layers([dense, Linear.like(dense, rank=2)], calls, training=training)
    assert min(map(min, timings.rounds)) > 0
    assert len(timings.rounds) == 2
    assert all(torch.equal(value, before[name]) for name, value in dense.state_dict().items())
    assert dense.weight.grad is None
    assert torch.equal(torch.get_rng_state(), generator)
    assert hooked == []


def test_frozen_layers_have_only_a_forward_to_time() -> None:
    dense = nn.Linear(20, 10).requires_grad_(False)
    calls = recorded_calls(nn.Sequential(dense), [dense], torch.randn(3, 20), training=True)[dense]
    assert time_layers([dense], calls, training=True).seconds(0) > 0


def test_what_a_layer_is_given() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.up = nn.Conv2d(3, 4, 3), nn.ConvTranspose2d(4, 4, 3, stride=2)
            self.linear, self.unused = nn.Linear(5, 5), nn.Linear(5, 5)
            self.embedding = nn.Embedding(7, 5)

        def forward(self, image, words, scale=1):
            hidden = self.conv(image)
            self.up(hidden, output_size=[12, 12])
            self.linear(self.embedding(words))
            self.linear(input=self.embedding(words).transpose(0, 1)[:1].expand(4, 2, 5))
            return self.linear(self.embedding(words)) * scale

    model = Model().train()
    image = torch.randn(2, 3, 7, 7).to(memory_format=torch.channels_last)
    words = torch.tensor([[1, 2, 3], [4, 5, 6]])
    calls = recorded_calls(
        model, model.children(), {"image": image, "words": words, "scale": 2}, training=True
    )
    (conv,) = calls[model.conv]
    assert (conv.shape, conv.stride, conv.requires_grad) == ((2, 3, 7, 7), image.stride(), False)
    assert conv.input().is_contiguous(memory_format=torch.channels_last)
    (up,) = calls[model.up]
    assert up.options == {"output_size": [12, 12]}
    assert up.requires_grad
    assert up.input().requires_grad
    (embedding,) = calls[model.embedding]
    assert torch.equal(embedding.input(), words)
    assert embedding.times == 3
    assert calls[model.linear][1].stride == (
        10,
        5,
        1,
    )  # an input that repeats itself is timed as one that does not
    assert [(call.shape, call.times) for call in calls[model.linear]] == [((2, 3, 5), 2), ((4, 2, 5), 1)]
    assert calls[model.unused] == ()
    assert model.training
    assert model.linear.training
    assert not model.linear._forward_pre_hooks
