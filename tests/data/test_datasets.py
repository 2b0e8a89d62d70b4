import dataclasses

import pytest
import torch

from rankfold._errors import OptionError
from rankfold.data import DATASETS, Dataset, load_dataset


def test_names() -> None:
    assert list(DATASETS) == ["digits", "mnist", "fashion_mnist", "cifar10"]
    assert all(name == info.name and info.summary and info.source for name, info in DATASETS.items())


def test_unknown_name() -> None:
    with pytest.raises(OptionError, match="known are cifar10, digits, fashion_mnist, mnist"):
        load_dataset("imagenet")


def test_record_tells_the_truth() -> None:
    data = load_dataset("digits")
    assert data.input_shape == DATASETS["digits"].input_shape
    assert data.classes == DATASETS["digits"].classes


def test_frozen() -> None:
    data = load_dataset("digits")
    assert isinstance(data, Dataset)
    with pytest.raises(dataclasses.FrozenInstanceError):
        data.name = "other"  # type: ignore[misc]


def test_other_constants() -> None:
    data = load_dataset("digits")
    pixels = data.test_inputs.double() * data.deviation[0] + data.mean[0]
    assert pixels.min() > -1e-6
    assert pixels.max() < 1 + 1e-6
    other = data.normalized((0.25,), (0.5,))
    # Inputs lie within 10; one rounding each of shift, scale, product and sum.
    assert torch.allclose(other.test_inputs.double(), (pixels - 0.25) / 0.5, rtol=0, atol=40 * 2**-24)
    assert torch.equal(other.train_targets, data.train_targets)
    assert (other.mean, other.deviation) == ((0.25,), (0.5,))
    back = other.normalized(data.mean, data.deviation)
    assert torch.allclose(back.train_inputs, data.train_inputs, rtol=0, atol=80 * 2**-24)
