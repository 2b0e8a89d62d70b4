"""Peak memory of training on the CPU, TDLRT beside dense, each in a process of its own (Linux).

A run imports everything and makes its data, notes how much memory the process holds, then builds the network and
trains a few steps with Adam. What counts is the highest level reached after that: parameters, gradients, the
optimiser's state, activations and all scratch memory. Factorised networks are built from factorised layers, never from
dense ones.
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
from rankfold import TDLRT, Fraction, layers, tune_cpu_allocator

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


def recomputing_vgg() -> nn.Module:
    """The same, keeping no hidden values for the backward."""
    model = low_rank_vgg()
    for layer in model.modules():
        if isinstance(layer, layers.FactorizedLayer):
            layer.recompute = True
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
    "VGG f=1/4, TDLRT, recomputing": (recomputing_vgg, (VGG_BATCH, *INPUT_SHAPE), VGG_SHARE),
    "4 linear 4096, rank 256, dense": (dense_linear, (LINEAR_BATCH, WIDTH), None),
    "4 linear 4096, rank 256, TDLRT": (low_rank_linear, (LINEAR_BATCH, WIDTH), LINEAR_SHARE),
}
# Network, side, reference, what the design asks for.
TARGETS = {
    "Memory VGG f=1/4": ("VGG f=1/4, TDLRT", "VGG f=1/4, dense", "<= 1.05"),
    "Memory VGG f=1/4, recomputing": ("VGG f=1/4, TDLRT, recomputing", "VGG f=1/4, dense", "<= 0.85"),
    "Memory linear 1/16": ("4 linear 4096, rank 256, TDLRT", "4 linear 4096, rank 256, dense", "<= 0.25"),
}
# How the allocator is set, for both sides alike: as it comes, or as `rankfold.tune_cpu_allocator` sets it.
ALLOCATORS = ("as it comes", "memory")


def mebibytes(field: str) -> float:
    """A figure about this process's memory; the peak of getrusage would start at that of the parent."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(field + ":")) / 1024


def load_libraries() -> None:
    """One small step of each kind, so that what kernels and libraries allocate once is there before."""
    for small in (
        nn.Sequential(
            nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3), nn.MaxPool2d(2), nn.Flatten()
        ),
        nn.Sequential(nn.Flatten(), nn.Linear(192, 32)),
    ):
        optimizer = torch.optim.Adam(small.parameters())
        small(torch.randn(4, 3, 8, 8)).square().sum().backward()
        optimizer.step()
    square = torch.randn(64, 64)
    torch.linalg.eigh(square @ square.mT)
    torch.linalg.qr(square)


def train(run: str, allocator: str) -> dict[str, float]:
    """Train in this process; gives the level before and the rise to the peak in MiB."""
    if allocator == "memory":
        tune_cpu_allocator("memory")
    build, shape, share = RUNS[run]
    inputs, targets = torch.randn(shape), torch.randint(0, 10, shape[:1])
    if len(shape) == 4:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    load_libraries()
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
    parser.add_argument("--allocator", choices=ALLOCATORS, default="as it comes", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    if options.run:
        print(json.dumps(train(options.run, options.allocator)))
        return
    peaks, rows = {}, []
    for allocator in ALLOCATORS:
        for run in RUNS:
            command = [sys.executable, "-m", "benchmarks.memory", "--run", run, "--allocator", allocator]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            peaks[run, allocator] = found["peak_mib"]
            rows.append({"run": run, "allocator": allocator, **found})
            print(f"{run:32} {allocator:12} {found['peak_mib']:8.1f} MiB")
    definitions = {
        f"{name} ({allocator})": {
            "measured": round(peaks[side, allocator] / peaks[dense, allocator], 3),
            "target": target,
            "unit": "x dense peak",
        }
        for name, (side, dense, target) in TARGETS.items()
        for allocator in ALLOCATORS
    }
    for name, entry in definitions.items():
        print(f"{name:44} {entry['measured']:.3f}  wanted {entry['target']}")
    write_result(
        "memory",
        {
            "title": "Peak memory of training",
            "note": f"Adam, {STEPS} steps, one thread; rise of the resident memory above what interpreter, libraries "
            "and data hold. TDLRT with core_steps=1, ranks held. Allocator: glibc's as it comes, which keeps holes "
            "between blocks of ever different sizes, or rankfold.tune_cpu_allocator('memory'), on both sides.",
            "definitions": definitions,
            "rows": rows,
        },
    )


if __name__ == "__main__":
    main()
