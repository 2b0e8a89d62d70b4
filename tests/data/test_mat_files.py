"""MATLAB files are read as scipy reads them, and damage that ends its process is a sentence here."""

import struct
from pathlib import Path

import numpy as np
import pytest
from scipy import io, sparse

from rankfold import DataError
from rankfold.data import open_tensor, read_tensor

TYPES_5 = ("f8", "f4", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "?", ">f8", ">i4")
TYPES_4 = ("f8", "f4", "u1", "i2", "u2", "i4")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("shape", [(3, 4), (1, 1), (2, 3, 4), (5, 1), (2, 2, 2, 3)])
def test_arrays_of_version_5(shape: tuple[int, ...], packed: bool, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for kind in TYPES_5:
        x = (50 * rng.normal(size=shape)).astype(kind)
        others = {"title": "a text", "cells": np.array([1, "a"], object), "record": {"a": 1.0}}
        io.savemat(tmp_path / "x.mat", {**others, "x": x}, do_compression=packed)
        found = read_tensor(tmp_path / "x.mat").numpy()
        assert np.array_equal(found, io.loadmat(tmp_path / "x.mat")["x"].astype(found.dtype)), kind


def test_arrays_of_version_4(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for kind in TYPES_4:
        x = (50 * rng.normal(size=(3, 4))).astype(kind)
        io.savemat(tmp_path / "x.mat", {"title": "a text", "x": x}, format="4")
        found = read_tensor(tmp_path / "x.mat").numpy()
        assert np.array_equal(found, io.loadmat(tmp_path / "x.mat")["x"].astype(found.dtype)), kind


@pytest.mark.parametrize("version", ["4", "5"])
@pytest.mark.parametrize("density", [0, 0.1, 0.5, 1])
def test_sparse_matrices(density: float, version: str, tmp_path: Path) -> None:
    x = sparse.random(7, 5, density, random_state=1)
    io.savemat(tmp_path / "x.mat", {"x": x}, format=version)
    source = open_tensor(tmp_path / "x.mat")
    assert (source.shape, source.stored) == ((7, 5), x.nnz)
    one, two = source.read(), source.read()
    assert np.array_equal(one.to_dense().numpy(), x.toarray())
    assert one.values().data_ptr() != two.values().data_ptr() or not x.nnz


def test_one_key_of_several_and_complex_numbers(tmp_path: Path) -> None:
    for version in ("4", "5"):
        io.savemat(tmp_path / "x.mat", {"a": np.ones((2, 2)), "b": np.full((2, 3), 1j)}, format=version)
        assert read_tensor(tmp_path / "x.mat", "a").sum() == 4
        with pytest.raises(DataError, match="b is complex"):
            open_tensor(tmp_path / "x.mat", "b")


@pytest.fixture
def columns(tmp_path: Path) -> Path:
    """A sparse matrix, not compressed, so that its bytes can be found."""
    io.savemat(tmp_path / "x.mat", {"x": sparse.coo_matrix(([2.0, 3.0], ([0, 3], [1, 0])), shape=(4, 2))})
    return tmp_path / "x.mat"


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ((0, 1, 2), (0, 2**30, 2**30), "values for"),
        ((0, 1, 2), (0, 2, 1), "its columns are none"),
        ((0, 1, 2), (1, 1, 2), "its columns are none"),
        ((3, 0), (4, 0), "outside of the shape"),
        ((3, 0), (-1, 0), "outside of the shape"),
        ((4, 2), (4, 2**30), "its columns are none"),
        ((4, 2), (-4, 2), "has the shape"),
    ],
)
def test_damaged_sparse_matrices(
    columns: Path, old: tuple[int, ...], new: tuple[int, ...], words: str
) -> None:
    content = columns.read_bytes()
    words_of = [struct.pack(f"<{len(numbers)}i", *numbers) for numbers in (old, new)]
    assert content.count(words_of[0]) == 1
    columns.write_bytes(content.replace(*words_of))
    with pytest.raises(DataError, match=words):
        read_tensor(columns)
