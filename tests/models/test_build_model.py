import pytest
import torch

from rankfold._errors import OptionError
from rankfold.models import MLP, MODELS, build_model


def test_names() -> None:
    assert list(MODELS) == ["lenet5", "mlp", "alexnet", "vgg16", "resnet18", "resnet20"]
    assert all(name == info.name and info.summary and info.source for name, info in MODELS.items())


def test_unknown_name() -> None:
    with pytest.raises(OptionError, match="known are alexnet, lenet5, mlp, resnet18, resnet20, vgg16"):
        build_model("lenet")


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        (
            "lenet5",
            (3, 32, 32),
            "lenet5 takes inputs of 1x28x28, got 3x32x32; .*: mlp, alexnet, vgg16, resnet18",
        ),
        ("resnet20", (1, 28, 28), "resnet20 takes inputs of 3x32x32, got 1x28x28; .*: lenet5, mlp"),
        ("vgg16", (3, 64, 64), "vgg16 takes inputs of 3x32x32, got 3x64x64; .*: mlp"),
        ("mlp", (3, 0, 32), "three sizes"),
        ("mlp", (784,), "three sizes"),
    ],
)
def test_shapes_that_do_not_fit(name: str, shape: tuple[int, int, int], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        build_model(name, input_shape=shape)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (2, 3, 4)])
def test_mlp_adapts_to_the_inputs(shape: tuple[int, int, int]) -> None:
    model = build_model("mlp", classes=3, input_shape=shape)
    assert isinstance(model, MLP)
    assert model(torch.zeros(2, *shape)).shape == (2, 3)


def test_shape_as_torch_gives_it() -> None:
    build_model("lenet5", input_shape=torch.zeros(5, 1, 28, 28).shape[1:])


def test_no_classes() -> None:
    with pytest.raises(OptionError, match="classes=0"):
        build_model("lenet5", classes=0)
