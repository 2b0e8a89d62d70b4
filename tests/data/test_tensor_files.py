"""Tensors from files: what they hold, and one sentence for every damage."""

import gzip
import struct

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from scipy import io, sparse

from rankfold import DataError
from rankfold.data import TENSOR_FILES, open_tensor, read_tensor

CUBE = np.arange(24.0).reshape(2, 3, 4)


def written(folder, name, content=CUBE):
    """A file of some kind with the tensor ``x``."""
    path = folder / name
    if name.endswith(".npy"):
        np.save(path, content)
    elif name.endswith(".npz"):
        np.savez(path, x=content)
    elif name.endswith(".mat"):
        io.savemat(path, {"title": "a cube", "cells": np.array([1, "a"], object), "x": content})
    elif name.endswith(".safetensors"):
        save_file({"x": torch.from_numpy(np.ascontiguousarray(content))}, path)
    else:
        raise AssertionError(name)
    return path


@pytest.mark.parametrize("kind", [".npy", ".npz", ".mat", ".safetensors"])
@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        ("float64", torch.float64),
        ("float32", torch.float32),
        ("uint16", torch.float64),
        ("int8", torch.float64),
        ("bool", torch.float64),
    ],
)
def test_a_dense_tensor_comes_back(kind, stored, expected, tmp_path):
    content = CUBE.astype(stored)
    source = open_tensor(written(tmp_path, f"x{kind}", content))
    assert source.shape == (2, 3, 4)
    assert source.stored == 24
    assert (source.note is None) == (stored in ("float32", "float64"))
    assert source.note is None or f"the numbers are {stored}, read as float64" in source.note
    tensor = source.read()
    assert tensor.dtype == source.dtype == expected
    assert tensor.is_contiguous()
    assert torch.equal(tensor, torch.from_numpy(content).to(expected))


@pytest.mark.parametrize("kind", [".npy", ".npz", ".safetensors"])
def test_halves_become_float32(kind, tmp_path):
    source = open_tensor(written(tmp_path, f"x{kind}", CUBE.astype(np.float16)))
    assert source.note == f"x{kind}: the numbers are float16, read as float32."
    assert torch.equal(source.read(), torch.from_numpy(CUBE).float())


def test_order_and_byte_order_do_not_matter(tmp_path):
    path = written(tmp_path, "x.npy", np.asfortranarray(CUBE.astype(">f8")))
    assert torch.equal(read_tensor(path), torch.from_numpy(CUBE))


def test_what_is_read_belongs_to_the_reader(tmp_path):
    path = written(tmp_path, "x.npy")
    read_tensor(path).zero_()
    assert np.array_equal(np.load(path), CUBE)


@pytest.mark.parametrize("kind", [".npz", ".mat", ".safetensors"])
def test_a_key_chooses(kind, tmp_path):
    path = tmp_path / f"x{kind}"
    arrays = {"a": np.zeros((2, 2)), "b": np.ones((3, 2))}
    if kind == ".npz":
        np.savez_compressed(path, **arrays)
    elif kind == ".mat":
        io.savemat(path, arrays)
    else:
        save_file({name: torch.from_numpy(array) for name, array in arrays.items()}, path)
    assert torch.equal(read_tensor(path, "b"), torch.ones(3, 2, dtype=torch.float64))
    with pytest.raises(DataError, match=r"holds a, b; choose one of these as the key"):
        open_tensor(path)
    with pytest.raises(DataError, match="got the key 'c', the file holds a, b"):
        open_tensor(path, "c")


@pytest.mark.parametrize("name", ["x.npy", "x.csv", "x.tns"])
def test_a_key_where_there_are_none(name, tmp_path):
    path = tmp_path / name
    path.write_text("1 1 2.0\n")
    with pytest.raises(DataError, match="leave the key out"):
        open_tensor(path, "x")


def test_sparse_matrices_of_matlab(tmp_path):
    path = tmp_path / "x.mat"
    io.savemat(path, {"x": sparse.coo_matrix(([2.0, 3.0], ([0, 3], [1, 0])), shape=(4, 2))})
    tensor = read_tensor(path)
    assert tensor.is_sparse
    expected = torch.zeros(4, 2, dtype=torch.float64)
    expected[0, 1], expected[3, 0] = 2, 3
    assert torch.equal(tensor.to_dense(), expected)


@pytest.mark.parametrize("header", [False, True])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_table(header, end, tmp_path):
    path = tmp_path / "x.csv"
    lines = (['height,"width, cm",depth'] if header else []) + ["1,,3", " 4 ,5e1,nan", "", "7,8,9"]
    path.write_bytes("\ufeff".encode() + end.join(lines).encode())
    source = open_tensor(path)
    assert source.shape == (3, 3)
    nan = float("nan")
    expected = torch.tensor([[1, nan, 3], [4, 50, nan], [7, 8, 9]], dtype=torch.float64)
    torch.testing.assert_close(source.read(), expected, equal_nan=True, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["x.tns", "x.tns.gz"])
def test_coordinates(name, tmp_path):
    path = tmp_path / name
    text = "# five entries, one twice\n\n1 1 1 5\n2\t3 4 -1.5 # the last\n1 1 1 2\n  2 1 1 0.25\n1 2 1 1e2"
    path.write_bytes(gzip.compress(text.encode()) if name.endswith("gz") else text.encode())
    source = open_tensor(path)
    assert (source.shape, source.stored) == (None, 5)
    tensor = source.read()
    expected = torch.zeros(2, 3, 4, dtype=torch.float64)
    expected[0, 0, 0], expected[1, 2, 3], expected[1, 0, 0], expected[0, 1, 0] = 7, -1.5, 0.25, 100
    assert tensor.is_sparse
    assert torch.equal(tensor.to_dense(), expected)


def test_one_entry(tmp_path):
    (tmp_path / "x.tns").write_text("3 2 1.5\n")
    assert tuple(read_tensor(tmp_path / "x.tns").shape) == (3, 2)


@pytest.mark.parametrize("kind", TENSOR_FILES)
@pytest.mark.parametrize("content", [b"\x00", b"\x93NUMPY\x01", b"hello there\n", bytes(range(256)) * 4])
def test_foreign_files(kind, content, tmp_path):
    path = tmp_path / f"x{kind}"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"^[^\n]+; [^\n]+\.$"):
        read_tensor(path)


@pytest.mark.parametrize("kind", TENSOR_FILES)
def test_empty_and_missing_files_and_folders(kind, tmp_path):
    path = tmp_path / f"x{kind}"
    with pytest.raises(DataError, match="there is no such file"):
        open_tensor(path)
    path.touch()
    with pytest.raises(DataError, match="the file is empty"):
        open_tensor(path)
    path.unlink()
    path.mkdir()
    with pytest.raises(DataError, match="there is no such file"):
        open_tensor(path)


@pytest.mark.parametrize("kind", [".npy", ".npz", ".mat", ".safetensors"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
def test_cut_files(kind, share, tmp_path):
    path = written(tmp_path, f"x{kind}", np.random.default_rng(0).normal(size=(5, 6, 7)))
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(DataError, match=r"damaged"):
        read_tensor(path)


def test_a_cut_gzip(tmp_path):
    path = tmp_path / "x.tns.gz"
    content = gzip.compress("".join(f"{k} 1 2.5\n" for k in range(1, 999)).encode())
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match="damaged"):
        open_tensor(path)


def test_a_wrong_checksum_in_an_archive(tmp_path):
    path = written(tmp_path, "x.npz")
    content = bytearray(path.read_bytes())
    place = content.index(struct.pack("<d", 13.0))
    content[place] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(DataError, match="damaged"):
        read_tensor(path)


def test_pickles_are_never_read(tmp_path):
    class Trap:
        def __reduce__(self):
            return pytest.fail, ("unpickled",)

    objects = np.empty((2, 2), object)
    objects[:] = Trap()
    with pytest.raises(DataError, match="no NumPy file of numbers"):
        read_tensor(written(tmp_path, "x.npy", objects))
    with pytest.raises(DataError, match="the file holds object"):
        read_tensor(written(tmp_path, "x.npz", objects))


@pytest.mark.parametrize("kind", [".npy", ".npz", ".mat"])
@pytest.mark.parametrize("dtype", ["complex128", "U3"])
def test_no_real_numbers(kind, dtype, tmp_path):
    with pytest.raises(DataError, match=r"complex|the file holds str|no array of numbers"):
        read_tensor(written(tmp_path, f"x{kind}", CUBE.astype(dtype)))


@pytest.mark.parametrize("content", [np.float64(3.0), np.zeros(4), np.zeros((2, 0, 3))])
def test_no_tensor(content, tmp_path):
    with pytest.raises(DataError, match="allowed are two or more dimensions"):
        open_tensor(written(tmp_path, "x.npy", content))


def test_matlab_version_7_3(tmp_path):
    path = tmp_path / "x.mat"
    # The header of such a file: a text of 116 bytes, an offset, the version 0x0200 and the byte order.
    path.write_bytes(b"MATLAB 7.3 MAT-file".ljust(116) + bytes(8) + b"\x00\x02IM" + bytes(400))
    with pytest.raises(DataError, match=r"version 7\.3 .*save it in MATLAB with -v7"):
        open_tensor(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2\n3\n", "line 2 has 1 cells, the first has 2"),
        ("1,2\n3,x\n", "line 2: could not convert string to float: 'x'"),
        ("a,b\n", "a line of names and no numbers"),
        ("\n\n", "the file is empty"),
        ("1,2\n\xff", "no table in UTF-8"),
    ],
)
def test_bad_tables(text, message, tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=message):
        read_tensor(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("# nothing\n", "holds no entries"),
        ("7\n", "allowed are coordinates and a value"),
        ("1 1 2.0\n1 2\n", "number of columns changed"),
        ("1 1 2.0\n0 1 1.0\n", "whole numbers counted from 1"),
        ("1 1.5 2.0\n", "whole numbers counted from 1"),
        ("1 nan 2.0\n", "whole numbers counted from 1"),
        ("1 one 2.0\n", "could not convert string 'one'"),
        ("9000000000 9000000000 1 1.0\n", "more places than PyTorch can number"),
    ],
)
def test_bad_coordinates(text, message, tmp_path):
    path = tmp_path / "x.tns"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        read_tensor(path)


def test_an_unknown_kind(tmp_path):
    with pytest.raises(DataError, match=r"known are .npy, .npz, .mat, .csv, .tns, .tns.gz, .safetensors"):
        open_tensor(tmp_path / "x.pkl")


def test_a_great_file_is_measured_without_reading(tmp_path):
    path = tmp_path / "x.npy"
    shape = (5000, 5000, 5000)
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, {"descr": "<f4", "fortran_order": False, "shape": shape})
        file.truncate(file.tell() + 5 * 10**11)  # a hole, which takes no space
    source = open_tensor(path)
    assert source.shape == shape
    assert source.read_bytes == 5 * 10**11
