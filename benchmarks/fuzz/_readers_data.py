"""Readers of data sets and of tensors from files."""

import gzip
import io
import pickle
import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np
import torch

from benchmarks.fuzz._containers import (
    gzip_mutator,
    idx_mutator,
    mat_mutator,
    npy_mutator,
    npz_mutator,
    safetensors_mutator,
    tar_mutator,
)
from benchmarks.fuzz._mutate import bytes_mutator, text_mutator
from benchmarks.fuzz._reader import Reader
from rankfold.data import open_tensor
from rankfold.data._cifar import TEST_FILES, TRAIN_FILES, read_archive, read_binary
from rankfold.data._cifar10 import unpack
from rankfold.data._idx import read_idx

__all__ = ["DATA_READERS"]

_WORDS = (
    "1e999999", "-1e999999", "nan", "inf", "-inf", "1_000", "0x10", "1" * 5000, "9223372036854775807",
    "9223372036854775808", "18446744073709551616", "-1", "0", "1.5", "1e18", "9e18", "#", "", "\x00", "\uff11\uff12",
    "1d5", "1j", '"', '"1,2', "\x1b[31m",
)  # fmt: skip


def _tensor(file: str) -> object:
    def read(folder: Path) -> object:
        source = open_tensor(folder / file)
        _ = source.note
        tensor = source.read()
        assert tensor.dtype in (torch.float32, torch.float64)
        return tensor

    return read


def _unpacked(folder: Path) -> None:
    target = folder / "unpacked"
    try:
        unpack(folder / "cifar.tar.gz", target)
    finally:
        for file in target.iterdir() if target.exists() else ():
            assert file.name in TRAIN_FILES + TEST_FILES, f"the archive wrote {file.name}"
            assert file.is_file(), f"{file.name} is no file"
            assert not file.is_symlink(), f"{file.name} is a link"
            file.unlink()
        if target.exists():
            target.rmdir()


def _idx_promises() -> dict[str, bytes]:
    head = b"\x00\x00\x08\x03"
    return {
        "exabytes": head + b"\xff" * 12,
        "terabyte": head + struct.pack(">III", 2**14, 2**14, 2**12),
        "nothing of much": head + struct.pack(">III", 0, 2**32 - 1, 2**32 - 1),
    }


def _bomb(head: bytes, piece: bytes, megabytes: int) -> bytes:
    """A gzip file of two kilobytes for each megabyte that it becomes."""
    engine = zlib.compressobj(9, zlib.DEFLATED, 31)
    begun = engine.compress(head) + engine.flush(zlib.Z_FULL_FLUSH)
    repeated = engine.compress(piece * (1_000_000 // len(piece))) + engine.flush(zlib.Z_FULL_FLUSH)
    return begun + repeated * megabytes + engine.flush()


def _idx_bombs() -> dict[str, bytes]:
    return {name: gzip.compress(one, mtime=0) for name, one in _idx_promises().items()} | {
        "bomb": _bomb(b"\x00\x00\x08\x03" + struct.pack(">III", 1, 1, 1), b"\x00", 600),
    }


def _array(shape: str, descr: str = "'<f8'", data: bytes = bytes(64)) -> bytes:
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def _arrays() -> dict[str, bytes]:
    objects = io.BytesIO()
    np.save(objects, np.array([[{"a": 1}, 2], [3, 4]], object), allow_pickle=True)
    return {
        "objects": objects.getvalue(),
        "pickle": pickle.dumps([1]),
        "terabyte": _array("(1000000, 125000)"),
        "overflow": _array("(4611686018427387904, 4611686018427387904)"),
        "negative": _array("(-2, -4)"),
        "wide type": _array("(2, 2)", "'<U1000000000'"),
        "wide record": _array("(2, 2)", "('<f8', (200000000,))"),
        "deep": _array("(" * 3000 + "1" + ",)" * 3000),
        "python 2": _array("(2L, 4L)"),
    }


def _zipped(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _archives() -> dict[str, bytes]:
    arrays = {name: _zipped(**{"x.npy": content}) for name, content in _arrays().items()}
    inner = _zipped(**{"x.npy": _array("(2, 4)")})
    return arrays | {
        "archive in an archive": _zipped(**{"x.npy": inner}),
        "bomb": _zipped(**{"x.npy": _array("(2, 4)") + bytes(30_000_000)}),
        "name with a way": _zipped(**{"../../x.npy": _array("(2, 4)")}),
        "torch": _zipped(**{"archive/data.pkl": pickle.dumps([1]), "archive/version": b"3"}),
    }


def _four(x: bytes) -> bytes:
    return _zipped(**{f"{name}.npy": x for name in ("x_train", "y_train", "x_test", "y_test")})


def _texts() -> dict[str, bytes]:
    return {
        "one line": b"1 1 1 " * 500_000,
        "one number": b"1 1 " + b"9" * 3_000_000,
        "no number": b"x" * 3_000_000,
        "commas": b"," * 400_000 + b"\n1",
        "quotes": b'"' * 400_001,
        "far away": b"9223372036854775807 1 1\n",
        "everywhere": b"\n".join(b"%d %d %d 1" % (k, k, k) for k in (1, 2_000_000, 4_000_000)),
        "utf-16": "1 1 2.0\n".encode("utf-16"),
    }


def _packed_texts() -> dict[str, bytes]:
    return {name: gzip.compress(one, mtime=0) for name, one in _texts().items()} | {
        "bomb of one line": _bomb(b"1 1 1", b"1", 600),
        "bomb of lines": _bomb(b"1 1 1\n", b"#".ljust(999) + b"\n", 600),
    }


DATA_READERS = (
    Reader(
        name="IDX",
        file="images-idx3-ubyte",
        read=lambda folder: read_idx(folder / "images-idx3-ubyte", 3),
        mutate=idx_mutator,
        share=14,
        crafted=_idx_promises,
    ),
    Reader(
        name="IDX, gzipped",
        file="images-idx3-ubyte.gz",
        read=lambda folder: read_idx(folder / "images-idx3-ubyte.gz", 3),
        mutate=gzip_mutator(idx_mutator),
        share=10,
        crafted=_idx_bombs,
    ),
    Reader(name=".npy", file="x.npy", read=_tensor("x.npy"), mutate=npy_mutator, share=14, crafted=_arrays),
    Reader(name=".npz", file="x.npz", read=_tensor("x.npz"), mutate=npz_mutator, share=10, crafted=_archives),
    Reader(name=".mat", file="x.mat", read=_tensor("x.mat"), mutate=mat_mutator, share=12),
    Reader(
        name=".csv",
        file="x.csv",
        read=_tensor("x.csv"),
        mutate=text_mutator(_WORDS),
        share=10,
        crafted=_texts,
    ),
    Reader(
        name=".tns",
        file="x.tns",
        read=_tensor("x.tns"),
        mutate=text_mutator(_WORDS),
        share=10,
        crafted=_texts,
    ),
    Reader(
        name=".tns.gz",
        file="x.tns.gz",
        read=_tensor("x.tns.gz"),
        mutate=gzip_mutator(text_mutator(_WORDS)),
        share=6,
        crafted=_packed_texts,
    ),
    Reader(
        name=".safetensors",
        file="x.safetensors",
        read=_tensor("x.safetensors"),
        mutate=safetensors_mutator,
        share=10,
    ),
    Reader(
        name="CIFAR-10 binary",
        file="data_batch_1.bin",
        read=lambda folder: read_binary(folder / "data_batch_1.bin", images=2),
        mutate=bytes_mutator,
        share=2,
    ),
    Reader(
        name="CIFAR-10 .npz",
        file="cifar10.npz",
        read=lambda folder: read_archive(folder / "cifar10.npz"),
        mutate=npz_mutator,
        share=6,
        crafted=lambda: {name: _four(content) for name, content in _arrays().items()},
    ),
    Reader(name="CIFAR-10 archive", file="cifar.tar.gz", read=_unpacked, mutate=tar_mutator, share=4),
)
