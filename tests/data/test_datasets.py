import dataclasses

import pytest

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
