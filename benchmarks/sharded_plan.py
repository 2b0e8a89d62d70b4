"""Decomposition of sharded tensors: what each worker sends, reads, holds and takes, on paper and in fact.

Constants are measured on parts; then 1, 2 and 3 real workers decompose a file, and what they did is put beside what the
plan says. The same plan with the same constants then speaks for 10^10 entries on 64 workers.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist

import rankfold
from benchmarks._results import write_result
from benchmarks._setup import prepare
from benchmarks._sharded_plan import Constants, Cost, Problem, als_run, als_sweep, gradient, label, st_hosvd
from benchmarks._sharded_tables import rewrite
from rankfold.decompose import Sharded
from rankfold.decompose._block_data import BlockData
from rankfold.decompose._block_memory import required_block_bytes
from rankfold.decompose._blocks import Blocks, extent_of
from rankfold.linalg import product

SHAPE, RANK, SWEEPS, BLOCK = (300, 400, 300), 16, 5, 2**23
WORKERS = (1, 2, 3)
RESULT = Path(__file__).parent / "results" / "sharded_plan.json"
# 10^10 entries, float64, 80 GB, and who is to decompose them.
LARGE, MANY = (2000, 2500, 2000), 64
SMALL_MESSAGE, LARGE_MESSAGE, ROUNDS = 2**10, 2**24, 200
# Nominal figures of 10 Gbit/s Ethernet, not measured here.
ETHERNET = {"latency": 50e-6, "network": 1.25e9}
TIMEOUT = 600.0
NOTE = (
    "float64, ALS and ST-HOSVD along mode 0, one thread per worker. flops: product of a tile with a factor; read: a "
    "tile from the page cache, both in CPU time; latency, network: gloo over the loopback of this machine with 3 "
    "workers, wall time. Messages and bytes are of one worker in a whole run of 5 sweeps; memory is what is taken at "
    "most while a block is read. The times are of the slowest worker. The machine has two cores, on which other work "
    "ran beside: wall times say little here."
)


def make_file(path: Path) -> None:
    """Noise, slice by slice."""
    rng = np.random.default_rng(0)
    array = np.lib.format.open_memmap(path, "w+", np.float64, SHAPE)
    for index in range(SHAPE[0]):
        array[index] = rng.standard_normal(SHAPE[1:])


def best_rate(amount: float, work: Callable[[], object], rounds: int = 7) -> float:
    """Amount per second, the median over some rounds."""
    times = []
    for _ in range(rounds + 1):
        started = time.process_time()
        work()
        times.append(time.process_time() - started)
    return amount / statistics.median(times[1:])


def local_constants(path: Path) -> dict[str, float]:
    """Rates of one process."""
    x = Sharded.from_npy(path, 0, block_bytes=BLOCK)
    boxes = list(x.boxes(x.tile))[:8]
    size = sum(x.read(box, torch.float64).numel() for box in boxes)
    tile = x.read(boxes[0], torch.float64)
    matrix, factor = tile.view(-1, SHAPE[-1]), torch.randn(RANK, SHAPE[-1], dtype=torch.float64)
    return {
        "flops": best_rate(2.0 * RANK * tile.numel(), lambda: product(factor, matrix.mT)),
        "read": best_rate(8.0 * size, lambda: [x.read(box, torch.float64) for box in boxes]),
    }


def network_constants(workers: int) -> dict[str, float]:
    """Seconds per step of a small message, CPU seconds of all its steps, bytes per second of a large one."""
    small, large = (torch.zeros(size // 8, dtype=torch.float64) for size in (SMALL_MESSAGE, LARGE_MESSAGE))
    dist.all_reduce(large)
    started, spent = time.perf_counter(), time.process_time()
    for _ in range(ROUNDS):
        dist.all_reduce(small)
    latency = (time.perf_counter() - started) / ROUNDS / (2 * (workers - 1))
    call = (time.process_time() - spent) / ROUNDS
    started = time.perf_counter()
    for _ in range(5):
        dist.all_reduce(large)
    seconds = (time.perf_counter() - started) / 5
    network = 2 * (workers - 1) / workers * LARGE_MESSAGE / seconds
    return {"latency": latency, "network": network, "call": call}


class Counted:
    """Bytes given to collectives in a block."""

    def __enter__(self) -> "Counted":
        self.volume = self.messages = 0
        self._real = dist.all_reduce

        def counted(tensor: torch.Tensor, *options: Any, **named: Any) -> Any:
            self.volume += tensor.numel() * tensor.element_size()
            self.messages += 1
            return self._real(tensor, *options, **named)

        dist.all_reduce = counted
        return self

    def __exit__(self, *error: object) -> None:
        dist.all_reduce = self._real


def resident() -> int:
    """Bytes of memory of its own that this process holds."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("RssAnon:"))


def worker(path: Path, workers: int) -> dict[str, Any]:
    """One of the workers: what it did."""
    if workers > 1:
        store = dist.FileStore(str(path.parent / f"store_{workers}"), workers)
        dist.init_process_group("gloo", store=store, rank=int(os.environ["RANK"]), world_size=workers)
    facts: dict[str, Any] = network_constants(workers) if workers == WORKERS[-1] else {}
    facts |= memory(path)
    with Counted() as run:
        x = Sharded.from_npy(path, 0, block_bytes=BLOCK)
        found = rankfold.cp(x, RANK, method="als", max_iterations=SWEEPS, tolerance=0.0, generator=0)
    points = [point.seconds for point in found.trace[:SWEEPS]]
    facts["wall"] = statistics.median(b - a for a, b in pairwise(points))
    facts["cpu"] = cpu_of_a_sweep(x)
    facts["als_run"] = [run.messages, run.volume]
    data = BlockData(Blocks(x, torch.float64, 1.0, (0, 1, 2)), extent_of("plan", x).norm)
    factors = [torch.ones(size, RANK, dtype=torch.float64) for size in SHAPE]
    with Counted() as once:
        data.gradients(factors)
    facts["gradient"] = [once.messages, once.volume]
    with Counted() as once:
        data.hosvd((0, 1, 2), (RANK,) * 3)
    facts["st_hosvd"] = [once.messages, once.volume]
    if workers > 1:
        dist.destroy_process_group()
    return facts


def memory(path: Path) -> dict[str, int]:
    """What a sweep takes, before anything else has left holes behind, and what the library says that it may take."""
    rankfold.cp(torch.ones(4, 4, 4), 1, method="als", generator=0)
    x = Sharded.from_npy(path, 0, block_bytes=BLOCK)
    before, most, real = resident(), 0, Sharded.read

    def read(self: Sharded, *given: Any) -> torch.Tensor:
        nonlocal most
        block = real(self, *given)
        most = max(most, resident())
        return block

    Sharded.read = read  # type: ignore[method-assign]
    rankfold.cp(x, RANK, method="als", max_iterations=2, generator=0)
    Sharded.read = real  # type: ignore[method-assign]
    return {"taken": most - before, "counted": required_block_bytes(x, ranks=RANK)}


def cpu_of_a_sweep(x: Sharded) -> float:
    """CPU seconds: what many sweeps take more than few, by how many more they are."""
    times = []
    for sweeps in (1, 1 + SWEEPS):
        started = time.process_time()
        rankfold.cp(x, RANK, method="als", max_iterations=sweeps, tolerance=0.0, generator=0)
        times.append(time.process_time() - started)
    return (times[1] - times[0]) / SWEEPS


def together(path: Path, workers: int) -> list[dict[str, Any]]:
    """What all of so many workers did."""
    command = [
        sys.executable,
        "-m",
        "benchmarks.sharded_plan",
        "--worker",
        str(path),
        "--workers",
        str(workers),
    ]
    processes = [
        subprocess.Popen(command, env={**os.environ, "RANK": str(rank)}, stdout=subprocess.PIPE, text=True)
        for rank in range(workers)
    ]
    try:
        texts = [process.communicate(timeout=TIMEOUT)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [json.loads(text.splitlines()[-1]) for text in texts]


def checks(measured: dict[int, list[dict[str, Any]]], constants: Constants) -> list[dict[str, Any]]:
    """The plan beside the facts, a line per number of workers."""
    rows = []
    for workers, facts in measured.items():
        problem = Problem(SHAPE, 0, RANK, workers)
        plans = {
            "als_run": als_run(problem, SWEEPS),
            "gradient": gradient(problem),
            "st_hosvd": st_hosvd(problem),
        }
        for name, plan in plans.items():
            for fact in facts:
                if fact[name] != [plan.messages, plan.volume]:
                    raise SystemExit(f"{name}, {workers} workers: planned {plan}, seen {fact[name]}")
        planned, seen = als_sweep(problem).cpu(constants), max(fact["cpu"] for fact in facts)
        rows.append(
            {
                "workers": workers,
                "messages": facts[0]["als_run"][0],
                "bytes": facts[0]["als_run"][1],
                "planned bytes": plans["als_run"].volume,
                "MiB taken": round(max(fact["taken"] for fact in facts) / 2**20, 1),
                "MiB at most": round(facts[0]["counted"] / 2**20, 1),
                "CPU s of a sweep": round(seen, 3),
                "planned CPU s": round(planned, 3),
                "seen by planned": round(seen / planned, 2),
                "wall s of a sweep": round(max(fact["wall"] for fact in facts), 3),
            }
        )
    return rows


def plan_rows(constants: Constants) -> list[dict[str, Any]]:
    """What 64 workers would do, with the network of this machine and with a nominal one."""
    problem = Problem(LARGE, 0, RANK, MANY)
    ethernet = replace(constants, **ETHERNET)
    works: dict[str, Cost] = {
        "ALS, one sweep": als_sweep(problem),
        "gradient flow, one gradient": gradient(problem),
        "ST-HOSVD": st_hosvd(problem),
    }
    rows = []
    for name, cost in works.items():
        parts = cost.seconds(problem, constants)
        rows.append(
            {
                "step": name,
                "passes": cost.passes,
                "messages": cost.messages,
                "MB to collectives": round(cost.volume / 1e6, 2),
                "GB read": round(cost.read / 1e9, 2),
                "compute, s": round(parts["compute"], 2),
                "read, s": round(parts["read"], 2),
                "talk, s": round(parts["talk"], 3),
                "talk at 10 Gbit/s, s": round(cost.seconds(problem, ethernet)["talk"], 3),
                "sum, s": round(sum(parts.values()), 2),
            }
        )
    return rows


def main() -> None:
    """Measure, check, plan, print and write; or be one of the workers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--workers", type=int, default=1, help=argparse.SUPPRESS)
    options = parser.parse_args()
    facts = prepare(1)
    if options.worker:
        print(json.dumps(worker(options.worker, options.workers)))
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "noise.npy"
        make_file(path)
        local = local_constants(path)
        measured = {workers: together(path, workers) for workers in WORKERS}
    last = measured[WORKERS[-1]]
    constants = Constants(
        **local,
        latency=max(fact["latency"] for fact in last),
        network=min(fact["network"] for fact in last),
        call=max(fact["call"] for fact in last),
    )
    result = {
        "subject": "Sharded decomposition on paper and in fact",
        "note": NOTE,
        **facts,
        "clock": "wall",
        "cores": os.cpu_count(),
        "constants": {
            "GFLOP/s": round(constants.flops / 1e9, 2),
            "read, GB/s": round(constants.read / 1e9, 2),
            "latency, µs": round(constants.latency * 1e6, 1),
            "network, GB/s": round(constants.network / 1e9, 3),
            "CPU ms of a message": round(constants.call * 1e3, 2),
        },
        "exact": asdict(constants),
        "checked": {"shape": label(SHAPE), "rank": RANK, "sweeps": SWEEPS, "block_bytes": BLOCK},
        "checks": checks(measured, constants),
        "planned": {"shape": label(LARGE), "rank": RANK, "workers": MANY, "ethernet": ETHERNET},
        "plan": plan_rows(constants),
        "memory_mib": round(large_memory() / 2**20, 1),
    }
    print(json.dumps(result, indent=1))
    before = RESULT.read_text(encoding="utf-8") if RESULT.exists() else json.dumps(result)
    write_result("sharded_plan", result)
    rewrite(json.loads(before), result)


def large_memory() -> int:
    """Bytes that a worker of the plan would need, by the count of the library on a file of the same shape."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "hole.npy"
        with path.open("wb") as file:
            header = {"descr": "<f8", "fortran_order": False, "shape": LARGE}
            np.lib.format.write_array_header_1_0(file, header)
            file.truncate(file.tell() + 8 * np.prod(LARGE, dtype=object))  # nothing is written
        return required_block_bytes(Sharded.from_npy(path, 0), ranks=RANK)


if __name__ == "__main__":
    main()
