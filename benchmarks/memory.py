"""Peak memory of training on the CPU, TDLRT beside dense, each in a process of its own (Linux).

A run imports everything and makes its data, notes how much memory the process holds, then builds the network and
trains a few steps with Adam. What counts is the highest level reached after that: parameters, gradients, the
optimiser's state, activations and all scratch memory. Factorised networks are built from factorised layers, never from
dense ones. The allocator is left as it is: `rankfold.tune_cpu_allocator` trades memory for time and has no place here.
"""

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks._results import write_result
from benchmarks._step_sides import NO_LIMIT
from benchmarks._vgg import INPUT_SHAPE, dense_vgg
from rankfold import TDLRT, Fraction, layers

VGG_BATCH, VGG_SHARE = 128, 0.25
WIDTH, LINEAR_BATCH, LINEAR_SHARE = 4096, 256, 1 / 16
STEPS = 6


def low_rank_vgg() -> nn.Module:
    """The VGG with factorised convolutions from the second on."""
    model = dense_vgg()
    for index, layer in enumerate(model):
        if isinstance(layer, nn.Conv2d) and index > 0:
            model[index] = layers.Conv2d.like(layer, rank=Fraction(VGG_SHARE))
            model[index].reset_parameters()
    return model


def dense_linear() -> nn.Module:
    """Four square linear layers with ReLU."""
    return nn.Sequential(*(part for _ in range(4) for part in (nn.Linear(WIDTH, WIDTH), nn.ReLU())))


def low_rank_linear() -> nn.Module:
    """The same, factorised."""
    rank = Fraction(LINEAR_SHARE)
    return nn.Sequential(
        *(part for _ in range(4) for part in (layers.Linear(WIDTH, WIDTH, rank=rank), nn.ReLU()))
    )


# A network, the shape of its inputs, and for TDLRT the share of the full rank at which ranks are held.
RUNS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], float | None]] = {
    "VGG f=1/4, dense": (dense_vgg, (VGG_BATCH, *INPUT_SHAPE), None),
    "VGG f=1/4, TDLRT": (low_rank_vgg, (VGG_BATCH, *INPUT_SHAPE), VGG_SHARE),
    "4 linear 4096, rank 256, dense": (dense_linear, (LINEAR_BATCH, WIDTH), None),
    "4 linear 4096, rank 256, TDLRT": (low_rank_linear, (LINEAR_BATCH, WIDTH), LINEAR_SHARE),
}
# Network, side, reference, what the design asks for.
TARGETS = {
    "Memory VGG f=1/4": ("VGG f=1/4, TDLRT", "VGG f=1/4, dense", "<= 1.05"),
    "Memory linear 1/16": ("4 linear 4096, rank 256, TDLRT", "4 linear 4096, rank 256, dense", "<= 0.25"),
}


def mebibytes(field: str) -> float:
    """A figure about this process's memory; the peak of getrusage would start at that of the parent."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field + ":")) / 1024


def train(run: str) -> dict[str, float]:
    """Train in this process; gives the level before and the rise to the peak in MiB."""
    build, shape, share = RUNS[run]
    inputs, targets = torch.randn(shape), torch.randint(0, 10, shape[:1])
    if len(shape) == 4:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    before = mebibytes("VmRSS")
    model = build()
    if len(shape) == 4:
        model = model.to(memory_format=torch.channels_last)
    optimizer = (
        torch.optim.Adam(model.parameters())
        if share is None
        else TDLRT(model, torch.optim.Adam, core_steps=1, min_rank=NO_LIMIT, max_rank=Fraction(share))
    )
    for _ in range(STEPS):
        optimizer.zero_grad()
        F.cross_entropy(model(inputs), targets).backward()
        optimizer.step()
    return {"before_mib": round(before, 1), "peak_mib": round(mebibytes("VmHWM") - before, 1)}


def main() -> None:
    """Start the runs one after another, print and write; or be one of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", choices=list(RUNS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if options.run:
        print(json.dumps(train(options.run)))
        return
    peaks, rows = {}, []
    for run in RUNS:
        command = [sys.executable, "-m", "benchmarks.memory", "--run", run]
        found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
        peaks[run] = found["peak_mib"]
        rows.append({"run": run, **found})
        print(f"{run:32} {found['peak_mib']:8.1f} MiB")
    definitions = {
        name: {"measured": round(peaks[side] / peaks[dense], 3), "target": target, "unit": "x dense peak"}
        for name, (side, dense, target) in TARGETS.items()
    }
    for name, entry in definitions.items():
        print(f"{name:32} {entry['measured']:.3f}  wanted {entry['target']}")
    write_result(
        "memory",
        {
            "title": "Peak memory of training",
            "note": f"Adam, {STEPS} steps, one thread, allocator as it comes; rise of the resident memory above what "
            "interpreter, libraries and data hold. TDLRT with core_steps=1, ranks held.",
            "allocator_tuned": False,
            "definitions": definitions,
            "rows": rows,
        },
    )


if __name__ == "__main__":
    main()
