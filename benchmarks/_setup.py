"""What every timing benchmark does first, the same for all sides of a comparison."""

import platform
from pathlib import Path
from typing import Any

import torch

import rankfold

__all__ = ["prepare", "result_name"]

_SEED = 0


def prepare(threads: int) -> dict[str, Any]:
    """Set threads, allocator and seed, and say so.

    Arguments:
        threads: torch threads, at least 1.

    Returns:
        The facts to put into the result: processor, clock, seed, and whether the allocator keeps freed memory.
    """
    torch.set_num_threads(threads)
    torch.manual_seed(_SEED)
    return {
        "processor": _processor(),
        "clock": "CPU time" if threads == 1 else "wall",
        "seed": _SEED,
        "allocator_tuned": rankfold.tune_cpu_allocator(),
    }


def result_name(name: str, threads: int) -> str:
    """Name of the result file: one thread is the rule, other numbers are named."""
    return name if threads == 1 else f"{name}_{threads}threads"


def _processor() -> str:
    """The processor's name where Linux tells it, otherwise its architecture."""
    table = Path("/proc/cpuinfo")
    lines = table.read_text().splitlines() if table.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor() or platform.machine())
