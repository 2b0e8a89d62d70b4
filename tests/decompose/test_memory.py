"""What is needed, what is free, and the refusal."""

from math import prod

import pytest
import torch

from rankfold import OptionError
from rankfold.decompose import _memory
from rankfold.decompose._memory import available_bytes, check_memory, required_bytes

CPU = torch.device("cpu")


@pytest.fixture
def system(tmp_path, monkeypatch):
    monkeypatch.setattr(_memory, "_MEMINFO", tmp_path / "meminfo")
    monkeypatch.setattr(_memory, "_GROUP", tmp_path)
    (tmp_path / "meminfo").write_text("MemTotal:  9000 kB\nMemFree:  10 kB\nMemAvailable:   4000 kB\n")
    return tmp_path


def group(system, limit):
    (system / "memory.max").write_text(f"{limit}\n")
    (system / "memory.current").write_text("3000000\n")
    (system / "memory.stat").write_text("anon 5\ninactive_file 500000\n")


def test_what_is_free(system):
    assert available_bytes(CPU) == 4000 * 1024
    group(system, "max")
    assert available_bytes(CPU) == 4000 * 1024
    group(system, 4_000_000)
    assert available_bytes(CPU) == 1_500_000
    group(system, 1_000_000)
    assert available_bytes(CPU) == 0
    (system / "memory.max").unlink()
    (system / "meminfo").unlink()
    assert (available_bytes(CPU) or 0) > 2**20  # what the system says without /proc
    assert available_bytes(torch.device("meta")) is None


@pytest.mark.parametrize("format", ["cp", "tucker", "tt"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_estimate_grows_with_everything(format, dtype):
    shape = (20, 30, 40)
    least = required_bytes(shape, dtype, format=format, ranks=2)
    assert least >= prod(shape) * dtype.itemsize
    assert required_bytes((21, 30, 40), dtype, format=format, ranks=2) > least
    assert required_bytes(shape, dtype, format=format, ranks=2, masked=True) > least
    if format == "cp":
        assert required_bytes(shape, dtype, ranks=3) > least


def test_a_sparse_tensor_is_counted_by_its_entries():
    shape = (10**5, 10**5, 10**5)
    assert required_bytes(shape, torch.float64, ranks=5, stored=1000) < 2**30
    assert required_bytes(shape, torch.float64, ranks=5) > 8 * 10**15


def test_the_refusal_has_the_numbers(system):
    check_memory("cp", "a tensor", 4000 * 1024, CPU, "take less")
    with pytest.raises(OptionError) as error:
        check_memory("cp", "a tensor", 8 * 10**15, CPU, "take less")
    assert str(error.value) == "cp: a tensor needs 7.1 PiB, 3.9 MiB are free on cpu; take less."
