"""What a sharded tensor takes of memory, measured in a process of its own."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.decompose.cp_problems import noise

from rankfold import OptionError, cp, tucker
from rankfold.decompose import Sharded, _memory
from rankfold.decompose._block_memory import required_block_bytes

# The tensor of 24 MB is larger than all that the process may take.
SHAPE, BLOCK = (100, 150, 200), 2**20
PROGRAM = """
import sys, torch, rankfold
from rankfold.decompose import Sharded
from rankfold.decompose._block_memory import required_block_bytes

def anonymous(field):
    lines = open("/proc/self/status").read().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field + ":")) * 1024

torch.set_num_threads(1)
small = torch.ones(6, 6, 6, dtype=torch.float64)
rankfold.cp(small, 1, generator=0), rankfold.tucker(small, 1), torch.linalg.eigh(torch.eye(200, dtype=torch.float64))
x = Sharded.from_npy(sys.argv[1], block_bytes=int(sys.argv[2]))
real = Sharded.read
def read(self, *given):
    global most
    block = real(self, *given)
    most = max(most, anonymous("RssAnon"))
    return block
Sharded.read = read
before = anonymous("RssAnon")  # freed memory may stay with the process, so both are counted from here
for format, work in (
    ("cp", lambda: rankfold.cp(x, 5, method="als", max_iterations=2, generator=0)),
    ("tucker", lambda: rankfold.tucker(x, ranks=5)),
):
    most = 0
    work()
    print(most - before, required_block_bytes(x, format=format, ranks=5))
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("memory") / "x.npy"
    x = np.lib.format.open_memmap(path, "w+", np.float64, SHAPE)
    x[:] = noise(SHAPE[1:], 1).numpy()
    x[3] = noise(SHAPE[1:], 2).numpy()
    return path


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="the system does not tell")
def test_the_tensor_is_never_in_memory_and_the_estimate_holds(file: Path) -> None:
    command = [sys.executable, "-c", PROGRAM, str(file), str(BLOCK)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    found = [tuple(map(int, line.split())) for line in done.stdout.splitlines()]
    assert all(taken <= estimate < 24e6 for taken, estimate in found)
    assert max(taken for taken, _ in found) > BLOCK  # the later ones may use again what the first one left


def test_too_little_memory_is_refused_with_the_number(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_memory, "available_bytes", lambda device: 2**20)
    x = Sharded.from_npy(file, block_bytes=BLOCK)
    for act in (lambda: cp(x, 2), lambda: tucker(x, 2)):
        with pytest.raises(
            OptionError,
            match=r"^(cp|tucker): a sharded tensor of shape \(100, 150, 200\) in blocks of 6 of mode 1 needs .* MiB, "
            r"1\.0 MiB are free on cpu; pass smaller block_bytes, a longer mode to cut, or lower ranks\.",
        ):
            act()


def test_the_estimate_grows_with_the_block_and_not_with_the_tensor(tmp_path: Path) -> None:
    sizes = {}
    for rows in (100, 1000):
        np.save(tmp_path / f"{rows}.npy", np.zeros((rows, 20, 20)))
        x = Sharded.from_npy(tmp_path / f"{rows}.npy", 0, block_bytes=2**16)
        sizes[rows] = required_block_bytes(x, ranks=3)
    assert sizes[1000] < 1.5 * sizes[100]
    larger = Sharded.from_npy(tmp_path / "1000.npy", 0, block_bytes=2**20)
    assert required_block_bytes(larger, ranks=3) > sizes[1000] + 3 * (2**20 - 2**16)
