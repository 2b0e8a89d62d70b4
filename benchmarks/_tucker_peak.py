"""Peak memory of one Tucker decomposition, in a process of its own (Linux with glibc)."""

import ctypes
import gc
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks._tucker_sides import COMPLETE
from benchmarks.memory import mebibytes

__all__ = ["peak_by_tensor"]


def peak_by_tensor(side: str, tensor: Tensor, ranks: Sequence[int]) -> float:
    """The rise of memory during the call over the level before it, by the size of the tensor."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "tensor.npy"
        np.save(path, tensor.numpy())
        command = [sys.executable, "-m", "benchmarks._tucker_peak", side, str(path), *map(str, ranks)]
        return float(
            subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()[-1]
        )


def _measured(side: str, path: Path, ranks: Sequence[int]) -> float:
    torch.set_num_threads(1)
    tensor = torch.from_numpy(np.load(path))
    # What kernels and libraries allocate once is there before: a quarter of the tensor meets them all.
    COMPLETE[side](tensor[: tensor.shape[0] // 4].contiguous(), ranks)
    gc.collect()
    # What was freed goes back to the system, and the peak starts again from the present level.
    ctypes.CDLL("libc.so.6").malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    before = mebibytes("VmRSS")
    COMPLETE[side](tensor, ranks)
    return (mebibytes("VmHWM") - before) / (tensor.numel() * tensor.element_size() / 2**20)


if __name__ == "__main__":
    print(_measured(sys.argv[1], Path(sys.argv[2]), [int(rank) for rank in sys.argv[3:]]))
