import pytest
import torch
from tests.convert.models import LanguageModel, Reused
from torch import nn

import rankfold
from rankfold import factorize, fold
from rankfold.layers import Linear
from rankfold.testing import assert_same


def stages(module: nn.Module) -> int:
    return len(module) if isinstance(module, nn.Sequential) else 1


def cost_by_stages(*seconds: float):
    return lambda module: seconds[stages(module) - 1]


@pytest.fixture
def mlp() -> nn.Sequential:
    model = nn.Sequential(nn.Linear(40, 30), nn.ReLU(), nn.Linear(30, 20)).double().train()
    factorize(model, 3)
    return model


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        ((3, 2, 1), 3),
        ((3, 1, 2), 2),
        ((1, 2, 3), 1),
        ((1, 1, 1), 1),
        ((1, 0.99, 0.99), 1),
        ((1, 0.97, 0.99), 2),
    ],
)
def test_the_fastest_form_or_dense(clock, mlp, seconds, expected) -> None:
    clock.cost = cost_by_stages(*seconds)
    inputs = torch.randn(5, 40, dtype=torch.float64)
    folded = fold(mlp, example_inputs=inputs)
    assert [stages(folded[0]), stages(folded[2])] == [expected] * 2
    assert_same(folded(inputs), mlp(inputs), terms=4000)
    assert folded.training
    assert all(module.training for module in folded.modules())
    assert [calls[0].shape for _, calls, _ in clock.timed] == [(5, 40), (5, 30)]
    assert isinstance(mlp[0], Linear)


@pytest.mark.parametrize(
    ("noise", "expected"),
    [((0.5, 0.5, 0.5, 0.5, 3.0), 3), ((0.5, 0.5, 0.5, 0.99, 0.99), 1), ((0.97, 0.98, 0.96, 0.97, 0.9), 3)],
)
def test_a_gain_must_show_in_all_rounds_but_one(clock, mlp, noise, expected) -> None:
    clock.cost, clock.noise = cost_by_stages(1, 2, 1), noise
    folded = fold(mlp, example_inputs=torch.randn(5, 40, dtype=torch.float64))
    assert stages(folded[0]) == expected


def test_all_calls_count(clock) -> None:
    model = Reused()
    factorize(model, 2)
    clock.cost = cost_by_stages(3, 1, 2)
    folded = fold(model, example_inputs=torch.randn(4, 8))
    assert [sum(call.times for call in calls) for _, calls, _ in clock.timed] == [2, 1]
    assert folded.first is folded.again
    assert folded.first[0].weight is folded.tied[0].weight


def test_several_shapes_are_timed_together(clock) -> None:
    class TwoSizes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.Conv2d(8, 8, 3)

        def forward(self, image):
            return self.layer(image).mean() + self.layer(image[..., ::2]).mean()

    model = TwoSizes()
    factorize(model, 2)
    fold(model, example_inputs=torch.randn(1, 8, 9, 12))
    assert [call.shape for call in clock.timed[0][1]] == [(1, 8, 9, 12), (1, 8, 9, 6)]


def test_layers_that_are_alike_are_timed_once(clock) -> None:
    model = nn.Sequential(*(nn.Linear(8, 8) for _ in range(4)), nn.Linear(8, 8, bias=False))
    factorize(model, 2)
    clock.cost = cost_by_stages(3, 2, 1)
    folded = fold(model, example_inputs=torch.randn(4, 8))
    assert len(clock.timed) == 2
    assert [stages(layer) for layer in folded] == [3] * 5
    assert len({id(parameter) for parameter in folded.parameters()}) == 5 * 3 + 4


def test_a_layer_that_is_never_reached_is_folded_by_size(clock) -> None:
    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.used, self.spare = nn.Linear(40, 30), nn.Linear(40, 30)

        def forward(self, inputs):
            return self.used(inputs)

    model = Half()
    factorize(model, 3)
    folded = fold(model, example_inputs=torch.randn(2, 40))
    assert [stages(folded.used), stages(folded.spare)] == [1, 2]


def test_encoder_layers_and_tied_layers(clock) -> None:
    model = LanguageModel().double()
    factorize(model, 2, exclude=".*proj")
    clock.cost = cost_by_stages(2, 1, 3)
    tokens = torch.randint(0, 50, (2, 5))
    folded = fold(model, example_inputs=tokens)
    assert stages(folded.encoder.linear1) == 2
    assert stages(folded.output) == stages(folded.embedding) == 2
    assert_same(folded(tokens), model(tokens), terms=4000)


def test_further_arguments_need_the_dense_layer(clock) -> None:
    class Up(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = nn.ConvTranspose2d(8, 8, 3, stride=2)

        def forward(self, image):
            return self.layer(image, output_size=[12, 12])

    model = Up().double()
    factorize(model, 2)
    clock.cost = cost_by_stages(3, 2, 1)
    image = torch.randn(1, 8, 5, 5, dtype=torch.float64)
    folded = fold(model, example_inputs=image)
    assert type(folded.layer) is nn.ConvTranspose2d
    assert_same(folded(image), model(image), terms=1000)


def test_a_layer_by_itself_and_a_table_that_clips(clock) -> None:
    layer = Linear(20, 20, rank=2)
    clock.cost = cost_by_stages(3, 1, 2)
    assert stages(fold(layer, example_inputs=torch.randn(3, 20))) == 2
    clips = nn.Sequential(nn.Embedding(30, 8, max_norm=1.0))
    factorize(clips, 2)
    assert type(fold(clips, example_inputs=torch.arange(4))[0]) is nn.Embedding


def test_with_the_clock_of_the_machine() -> None:
    model = nn.Sequential(nn.Conv2d(8, 16, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10)).double()
    factorize(model, 2)
    inputs = torch.randn(2, 8, 5, 5, dtype=torch.float64)
    assert_same(fold(model, example_inputs=inputs)(inputs), model(inputs), terms=4000)


def test_example_inputs_that_are_no_tensors_are_refused() -> None:
    model = nn.Sequential(nn.Linear(8, 8))
    rankfold.factorize(model, 2)
    with pytest.raises(rankfold.OptionError, match="got str where it takes a tensor"):
        rankfold.fold(model, example_inputs="text")
