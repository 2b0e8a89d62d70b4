"""A hundred thousand adaptive steps on a small network: does memory grow, do bases drift, do ranks swing?

A student of two layers learns a random teacher of low rank from fresh noisy samples, so that the training never ends
and the ranks are decided anew all the time.
"""

import gc
import multiprocessing
import resource
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from typing import Any

import torch
import tyro
from torch import Tensor, nn

import rankfold
from benchmarks._results import write_result
from benchmarks._setup import prepare

NOTE = (
    "An MLP of 24, 32 and 8 neurons with tanh learns a teacher of ranks 4 and 3 from fresh samples with noise of 0.1 "
    "in the targets, 32 a batch, SGD with learning rate 0.05, momentum 0.9 and weight decay 1e-3, tolerance 0.1, "
    "ranks from 8. The second half is judged: memory is the slope of a line through the resident size, objects those "
    "that the garbage collector sees, blocks those of Python's allocator, each the last look less that at half time. "
    "defect is the largest entry of UᵀU less the identity at any look, changes the truncations that left other "
    "ranks than the cycle began with, swings those that undo the change before, at the same layer and mode."
)
INNER, OUTER, BATCH = (24, 32, 8), (4, 3), 32
CASES = [(integrator, core_steps) for integrator in ("augmented", "parallel") for core_steps in (1, 10)]
PAGE = resource.getpagesize()


@dataclass
class Watch:
    """What is noted of one run.

    Arguments:
        changes: step, layer, mode and difference of every rank that a cycle changed.
        resident, objects, blocks: bytes in memory, objects of the garbage collector and blocks of Python's allocator,
            at each look.
        defect: the largest so far.
    """

    changes: list[tuple[int, str, int, int]] = field(default_factory=list)
    resident: list[int] = field(default_factory=list)
    objects: list[int] = field(default_factory=list)
    blocks: list[int] = field(default_factory=list)
    defect: float = 0.0

    def truncated(self, record: rankfold.RankRecord) -> None:
        """Note a truncation."""
        for mode, (now, before) in enumerate(zip(record.ranks, record.ranks_before, strict=True)):
            if now != before:
                self.changes.append((record.step, record.layer, mode, now - before))

    def look(self, optimizer: rankfold.TDLRT) -> None:
        """Note memory and bases."""
        gc.collect()
        self.resident.append(resident())
        self.objects.append(len(gc.get_objects()))
        self.blocks.append(sys.getallocatedblocks())
        for layer in optimizer.layers.values():
            for factor in layer.factors.values():
                gram = factor.detach().double().mT @ factor.detach().double()
                off = gram - torch.eye(len(gram), dtype=torch.float64)
                self.defect = max(self.defect, float(off.abs().max()))


def resident() -> int:
    """Bytes of this process in memory."""
    with open("/proc/self/statm") as file:  # noqa: PTH123 - a file of the kernel
        return int(file.read().split()[1]) * PAGE


def swings(changes: list[tuple[int, str, int, int]]) -> int:
    """Changes whose sign is opposite to the one before at the same layer and mode."""
    by_place: dict[tuple[str, int], list[int]] = {}
    for _, layer, mode, difference in changes:
        by_place.setdefault((layer, mode), []).append(difference)
    return sum(a * b < 0 for differences in by_place.values() for a, b in pairwise(differences))


def slope(values: list[int], steps: int) -> float:
    """Bytes a step, of the line through values that are this many steps apart in all."""
    y = torch.tensor(values, dtype=torch.float64)
    x = torch.linspace(0, steps, len(values), dtype=torch.float64)
    x = x - x.mean()
    return float((x @ (y - y.mean())) / (x @ x))


class Task:
    """Student, teacher and a stream of samples."""

    def __init__(self, integrator: str, core_steps: int, seed: int, watch: Watch) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        torch.manual_seed(seed)
        ins, hidden, outs = INNER
        self.first, self.second = self.low_rank(hidden, ins, OUTER[0]), self.low_rank(outs, hidden, OUTER[1])
        self.model = nn.Sequential(nn.Linear(ins, hidden), nn.Tanh(), nn.Linear(hidden, outs))
        rankfold.factorize(self.model, 8)
        self.optimizer = rankfold.TDLRT(
            self.model,
            torch.optim.SGD,
            lr=0.05,
            momentum=0.9,
            weight_decay=1e-3,
            tolerance=0.1,
            integrator=integrator,
            core_steps=core_steps,
            on_truncation=watch.truncated,
        )

    def low_rank(self, rows: int, columns: int, rank: int) -> Tensor:
        """A random matrix of this rank."""
        left, right = self.normal(rows, rank), self.normal(rank, columns)
        return left @ right / (rank * columns) ** 0.5

    def normal(self, *shape: int) -> Tensor:
        """Numbers of the stream."""
        return torch.randn(shape, generator=self.generator)

    def step(self) -> float:
        """Train on a fresh batch; the loss."""
        x = self.normal(BATCH, INNER[0])
        y = torch.tanh(x @ self.first.mT) @ self.second.mT + 0.1 * self.normal(BATCH, INNER[2])
        self.optimizer.zero_grad()
        loss = nn.functional.mse_loss(self.model(x), y)
        loss.backward()
        self.optimizer.step()
        return float(loss.detach())


def soaked(integrator: str, core_steps: int, steps: int, looks: int, seed: int) -> dict[str, Any]:
    """One run, and what became of it."""
    watch = Watch()
    task = Task(integrator, core_steps, seed, watch)
    started, total = time.perf_counter(), 0.0
    for step in range(steps):
        loss = task.step()
        if step >= steps // 2:
            total += loss
        if (step + 1) % (steps // looks) == 0:
            watch.look(task.optimizer)
    seconds = time.perf_counter() - started
    late = [change for change in watch.changes if change[0] > steps // 2]
    half = looks // 2
    ranks = {name: list(record.ranks) for name, record in task.optimizer.records.items()}
    return {
        "integrator": integrator,
        "core_steps": core_steps,
        "steps": steps,
        "seconds": round(seconds, 1),
        "loss": total / (steps - steps // 2),
        "bytes_per_step": slope(watch.resident[half:], steps - steps // 2),
        "resident_mib": watch.resident[-1] / 2**20,
        "objects_more": watch.objects[-1] - watch.objects[half],
        "blocks_more": watch.blocks[-1] - watch.blocks[half],
        "defect": watch.defect,
        "changes": len(late),
        "swings": swings(late),
        "largest_change": max((abs(change[3]) for change in late), default=0),
        "ranks": ranks,
    }


def main(
    steps: int = 100_000, looks: int = 100, seed: int = 0, processes: int = 1, output: str = "faults_soak"
) -> None:
    """Run both integrators with one and with ten core steps, each in a process of its own.

    Arguments:
        steps: of each run.
        looks: at memory and bases, evenly spread.
        seed: of everything.
        processes: how many run at once.
        output: name of the result.
    """
    facts = prepare(1)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        processes, context, initializer=prepare, initargs=(1,), max_tasks_per_child=1
    ) as pool:
        rows = list(pool.map(partial(_case, steps=steps, looks=looks, seed=seed), CASES))
    write_result(output, {"note": NOTE, **facts, "seed": seed, "rows": rows})


def _case(case: tuple[str, int], steps: int, looks: int, seed: int) -> dict[str, Any]:
    row = soaked(*case, steps, looks, seed)
    print(row, flush=True)
    return row


if __name__ == "__main__":
    tyro.cli(main)
