import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rankfold._errors import DataError
from rankfold.data import load_dataset
from rankfold.data._digits import stratified_split


def test_shapes_and_types() -> None:
    data = load_dataset("digits", download=False)
    assert data.input_shape == (1, 28, 28)
    assert data.train_inputs.shape == (1437, 1, 28, 28)
    assert data.test_inputs.shape == (360, 1, 28, 28)
    assert data.train_inputs.dtype == torch.float32
    assert data.train_targets.dtype == torch.int64


def test_training_part_has_mean_0_and_variance_1() -> None:
    inputs = load_dataset("digits").train_inputs.double()
    assert abs(inputs.mean()) < 1e-6
    assert abs(inputs.std(correction=0) - 1) < 1e-6


def test_split_is_disjoint_and_stratified() -> None:
    data = load_dataset("digits")
    test, every = (targets.bincount() for targets in (data.test_targets, data.train_targets))
    every = every + test
    assert every.tolist() == [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]  # of the 1797
    assert ((test - every * 360 / 1797).abs() < 1).all()
    images = torch.cat([data.train_inputs, data.test_inputs]).flatten(1)
    assert len(images.unique(dim=0)) == 1797


def test_split_is_fixed_for_good() -> None:
    """Results with this data set stay comparable only while these indices stay."""
    labels = np.asarray([0, 1, 2, 3, 4] * 8)
    torch.manual_seed(1)
    np.random.seed(1)  # noqa: NPY002 - the point is that this seed has no effect
    train, test = stratified_split(labels, 10)
    assert test.tolist() == [4, 11, 16, 18, 20, 22, 25, 27, 28, 29]
    assert sorted([*train, *test]) == list(range(40))


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.floats(0, 1))
def test_any_split(values: list[int], share: float) -> None:
    labels, count = np.asarray(values), round(share * len(values))
    train, test = stratified_split(labels, count)
    assert len(test) == count
    assert sorted([*train, *test]) == list(range(len(labels)))
    counts, of_test = np.bincount(labels), np.bincount(labels[test], minlength=labels.max() + 1)
    assert (np.abs(of_test - counts * count / len(labels)) < 1).all()


def test_without_scikit_learn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(DataError, match=r"pip install 'rankfold\[cli\]'"):
        load_dataset("digits")


def test_named_folder_must_exist(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not a folder"):
        load_dataset("digits", data_dir=tmp_path / "none")
