import pytest
import torch
from torch import nn

from rankfold._errors import OptionError
from rankfold.models import MLP, MODELS, VGG16, AlexNet, LeNet5, ResNet18, ResNet20, build_model

# LeNet-5 and ResNet-20: Schotthöfer et al. 2022 and He et al. 2016. VGG16 and ResNet-18: the counts known
# from github.com/kuangliu/pytorch-cifar. MLP and AlexNet: summed by hand from their widths.
_PARAMETERS = {
    "lenet5": 431_080,
    "mlp": 648_010,
    "alexnet": 23_274_570,
    "vgg16": 14_728_266,
    "resnet18": 11_173_962,
    "resnet20": 269_722,
}


def _count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize("name", MODELS)
def test_parameters_and_shapes(name: str) -> None:
    model = build_model(name)
    assert _count(model) == _PARAMETERS[name]
    assert model.training
    inputs = torch.randn(2, *MODELS[name].input_shape)
    outputs = model(inputs)
    assert outputs.shape == (2, 10)
    outputs.square().sum().backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("name", MODELS)
def test_other_numbers_of_classes(name: str) -> None:
    model = build_model(name, classes=7).eval()
    assert model(torch.zeros(1, *MODELS[name].input_shape)).shape == (1, 7)


def test_weights_of_lenet5() -> None:
    weights = [parameter for parameter in LeNet5().parameters() if parameter.ndim > 1]
    assert sum(weight.numel() for weight in weights) == 430_500


def test_lenet5_with_more_channels() -> None:
    assert LeNet5(channels=3)(torch.zeros(2, 3, 28, 28)).shape == (2, 10)


def test_convolutions_of_vgg16() -> None:
    convolutions = [module for module in VGG16().modules() if isinstance(module, nn.Conv2d)]
    assert len(convolutions) == 13


@pytest.mark.parametrize("network", [VGG16, ResNet18, ResNet20])
def test_he_initialisation(network: type[nn.Module]) -> None:
    torch.manual_seed(0)
    for module in network().modules():
        if isinstance(module, nn.Conv2d) and module.weight.numel() > 30_000:
            variance = 2 / (module.weight[0, 0].numel() * module.out_channels)
            assert module.weight.var().item() == pytest.approx(variance, rel=0.05)


def test_seed_decides_the_weights() -> None:
    def weights(seed: int) -> torch.Tensor:
        torch.manual_seed(seed)
        return nn.utils.parameters_to_vector(build_model("resnet20").parameters())

    assert torch.equal(weights(3), weights(3))
    assert not torch.equal(weights(3), weights(4))


def test_dropout_of_alexnet_is_off_in_evaluation() -> None:
    model = AlexNet().eval()
    inputs = torch.randn(2, 3, 32, 32)
    assert torch.equal(model(inputs), model(inputs))


@pytest.mark.parametrize("widths", [(), (3,), (3, 0, 2)])
def test_widths_of_mlp(widths: tuple[int, ...]) -> None:
    with pytest.raises(OptionError, match="at least two widths"):
        MLP(widths)


def test_mlp_of_two_widths_is_linear() -> None:
    model = MLP((4, 3))
    assert torch.equal(model(-torch.ones(1, 4)), model.layers[0](-torch.ones(1, 4)))
