import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rankfold._errors import DataError
from rankfold.data import load_dataset
from rankfold.models import ResNet20


@pytest.fixture
def weights() -> dict[str, torch.Tensor]:
    root = os.environ.get("RANKFOLD_DATA")
    if not root:
        pytest.skip("RANKFOLD_DATA does not name a folder with trained weights")
    path = Path(root) / "weights" / "cifar10_resnet20.safetensors"
    if not path.is_file():
        pytest.skip("RANKFOLD_DATA has no weights/cifar10_resnet20.safetensors")
    return load_file(path)


def test_trained_weights_load(weights: dict[str, torch.Tensor]) -> None:
    model = ResNet20()
    missing, unexpected = model.load_state_dict(weights, strict=False)
    assert not unexpected
    assert all(name.endswith("num_batches_tracked") for name in missing)
    assert model.eval()(torch.zeros(1, 3, 32, 32)).isfinite().all()
    absent = set(model.state_dict()) - set(weights)
    assert all(name.endswith("num_batches_tracked") for name in absent)


def test_trained_weights_have_their_accuracy(weights: dict[str, torch.Tensor]) -> None:
    try:
        data = load_dataset("cifar10", download=False)
    except DataError:
        pytest.skip("RANKFOLD_DATA has no CIFAR-10")
    model = ResNet20().eval()
    model.load_state_dict(weights, strict=False)

    def channels(*numbers: float) -> torch.Tensor:
        return torch.tensor(numbers).view(1, 3, 1, 1)

    # The network was trained with ImageNet's constants in place of those of CIFAR-10.
    pixels = data.test_inputs * channels(0.2470, 0.2435, 0.2616) + channels(0.4914, 0.4822, 0.4465)
    inputs = (pixels - channels(0.485, 0.456, 0.406)) / channels(0.229, 0.224, 0.225)
    with torch.no_grad():
        found = torch.cat([model(part).argmax(1) for part in inputs.split(500)])
    # github.com/akamaster/pytorch_resnet_cifar10 states 91.73 %; two images for the rounding of a device.
    assert abs((found == data.test_targets).sum().item() - 9173) <= 2
