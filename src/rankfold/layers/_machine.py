"""What a machine can do, in the four numbers that the choice of an execution needs."""

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path

import torch
import torch.nn.functional as F

from rankfold._json_files import read_json

__all__ = ["Machine", "calibrate", "machine_for"]

_VARIABLE = "RANKFOLD_MACHINE"


@dataclass(frozen=True, slots=True)
class Machine:
    """Speeds of one kind of device; only their ratios matter for choices.

    Arguments:
        flops: floating-point operations per second of a convolution or matrix product.
        bandwidth: bytes per second that such a kernel reads and writes.
        overhead: seconds that a call costs whatever its size.
    """

    flops: float
    bandwidth: float
    overhead: float


# Of the order of what `calibrate` finds on one thread of an AMD EPYC 9005, and for CUDA of an H200's data sheet, which
# was not measured. Ratios differ less between machines than speeds do.
_DEFAULTS = {"cpu": Machine(2.3e11, 1.2e10, 1e-5), "cuda": Machine(6e13, 3e12, 1e-5)}


def machine_for(device_type: str) -> Machine:
    """The machine that choices are made for: as calibrated, or a typical one."""
    return _known().get(device_type) or _DEFAULTS.get(device_type, _DEFAULTS["cuda"])


def calibrate() -> Machine:
    """Measure this machine's processor and keep the result for this and later processes.

    Without it factorised layers choose how to run by the figures of a typical machine. The result goes to
    ``rankfold/machine.json`` in the user's cache folder, or to the file that the environment variable RANKFOLD_MACHINE
    names; delete the file to go back.

    Returns:
        The measured :class:`Machine`.

    Raises:
        OSError: the file cannot be written.
    """
    with torch.no_grad(), torch.random.fork_rng(devices=[]), torch.autocast("cpu", enabled=False):
        images, weight = (
            torch.randn(16, 64, 16, 16, dtype=torch.float32),
            torch.randn(64, 64, 3, 3, dtype=torch.float32),
        )
        images = images.contiguous(memory_format=torch.channels_last)
        weight = weight.contiguous(memory_format=torch.channels_last)
        dense = _seconds(lambda: F.conv2d(images, weight, padding=1))
        flops = 2 * images.numel() * 64 * 9 / dense
        large = torch.randn(64, 64, 32, 32, dtype=torch.float32).contiguous(memory_format=torch.channels_last)
        narrow = torch.randn(16, 64, 1, 1, dtype=torch.float32)
        pointwise = _seconds(lambda: F.conv2d(large, narrow))
        moved = 4 * large.numel() * (1 + 16 / 64)
        bandwidth = moved / max(pointwise - 2 * large.numel() * 16 / flops, pointwise / 10)
        tiny = torch.randn(1, 16, dtype=torch.float32)
        overhead = _seconds(lambda: F.linear(tiny, tiny))
    machine = Machine(flops, bandwidth, overhead)
    path = _path()
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        temporary.write_text(json.dumps({"cpu": asdict(machine)}, indent=1) + "\n")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    _known.cache_clear()
    return machine


def _seconds(run: Callable[[], object]) -> float:
    """Least of many calls, as what disturbs a measurement only ever lengthens it."""
    best = float("inf")
    for _ in range(10):
        started = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - started)
    return best


@lru_cache(maxsize=1)
def _known() -> dict[str, Machine]:
    try:
        stored = read_json(_path())
        machines = {
            kind: Machine(**{k: float(v) for k, v in speeds.items()}) for kind, speeds in stored.items()
        }
    except (OSError, ValueError, TypeError, AttributeError, OverflowError, RuntimeError):
        return {}  # a file that is absent or not ours, or no home folder, is no reason to stop a forward
    return {
        kind: m
        for kind, m in machines.items()
        if all(0 < v < float("inf") for v in (m.flops, m.bandwidth, m.overhead))
    }


def _path() -> Path:
    given = os.environ.get(_VARIABLE)
    if given:
        return Path(given)
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "rankfold" / "machine.json"
