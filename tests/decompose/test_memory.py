"""What is needed, what is free, and the refusal."""

import json
import subprocess
import sys
from math import prod
from pathlib import Path

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
    if format != "tt":  # which takes no mask
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


MEASURED = """
import json, sys, torch
from pathlib import Path
from rankfold.decompose import cp
from rankfold.decompose._tt import tt
from rankfold.decompose._tucker import tucker
from rankfold.formats import balanced_outer

torch.set_num_threads(1)
status, page = Path("/proc/self/status"), 4096
solve = {
    "cp": lambda x, r, m: cp(x, r, restarts=1, generator=0, mask=m),
    "tucker": lambda x, r, m: tucker(x, r, mask=m, generator=0),
    "tt": lambda x, r, m: tt(x, tolerance=0.02),
}
for function in solve.values():
    function(torch.rand(5, 6, 7, dtype=torch.float64), 1, None)  # what only the first call loads
peaks = []
for format, shape, rank, masked in json.loads(sys.argv[1]):
    generator = torch.Generator().manual_seed(0)
    x = balanced_outer([torch.rand(n, rank, generator=generator, dtype=torch.float64) for n in shape])
    x += 0.01 * torch.randn(shape, generator=generator, dtype=torch.float64)
    mask = torch.rand(shape, generator=generator) < 0.7 if masked else None
    before = int(Path("/proc/self/statm").read_text().split()[1]) * page
    Path("/proc/self/clear_refs").write_text("5")  # the highest mark starts anew
    solve[format](x, rank, mask)
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    peaks.append(int(line.split()[1]) * 1024 - before)
print(json.dumps(peaks))
"""


@pytest.mark.slow
@pytest.mark.skipif(
    not Path("/proc/self/clear_refs").exists(), reason="Linux tells the highest memory of a process"
)
def test_the_estimate_is_enough_and_not_far_off():
    cases = [
        ("cp", (160, 140, 120), 5, False),
        ("cp", (2000, 30, 30), 8, False),
        ("cp", (1500, 1200), 5, False),
        ("cp", (100, 90, 80), 5, True),
        ("tucker", (160, 140, 120), 5, False),
        ("tucker", (80, 70, 60), 5, True),
        ("tt", (50, 50, 40, 20), 5, False),
        ("tt", (1500, 1200), 5, False),
    ]
    command = [sys.executable, "-c", MEASURED, json.dumps(cases)]
    peaks = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    for (format, shape, rank, masked), peak in zip(cases, peaks, strict=True):
        ranks = None if format == "tt" else rank
        estimate = required_bytes(shape, torch.float64, format=format, ranks=ranks, masked=masked)
        noise = 8 * 2**20  # of the allocator, which keeps what it has
        assert peak <= estimate + noise, (format, shape, masked, peak, estimate)
        assert estimate <= 8 * (peak + noise), (format, shape, masked, peak, estimate)
