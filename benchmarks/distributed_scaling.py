"""Weak scaling of training steps on one and two workers, low-rank against dense, each worker with a batch of its own.

Perfect scaling takes on two workers the time of one. Wall times are those of the fastest round, for other programs may
have had the cores in between; processor time of a worker, messages included, is less sensitive to them. With
``--rate`` the loopback interface is shaped to that many megabits per second (``tc`` of iproute2), for the traffic of
all workers together, as on a slow network.
"""

import argparse
import os
import subprocess
import time
from statistics import median

import torch.distributed as dist

from benchmarks._distributed_sides import DistributedSide
from benchmarks._results import write_result
from benchmarks._setup import prepare
from benchmarks._worker_group import inside_own_network, on_workers

_BATCH, _SHARE = 16, 0.25
_SIDES: dict[str, float | None] = {
    "dense, DistributedDataParallel": None,
    "TDLRT, core_steps=10": _SHARE,
    "TDLRT, core_steps=1": _SHARE,
}


def measure(rank: int, rounds: int) -> dict[str, list[tuple[float, float]]]:
    """Seconds of a step of every side, wall and processor, by round; workers wait for one another before and after."""
    sides = {way: DistributedSide("VGG", share, way, _BATCH) for way, share in _SIDES.items()}
    times: dict[str, list[tuple[float, float]]] = {way: [] for way in sides}
    for index in range(rounds + 1):
        for way, side in sides.items():
            dist.barrier()
            started = time.perf_counter(), time.process_time()
            for _ in range(side.steps_per_cycle):
                side.step()
            dist.barrier()
            if index:
                steps = side.steps_per_cycle
                wall, processor = time.perf_counter() - started[0], time.process_time() - started[1]
                times[way].append((wall / steps, processor / steps))
    return times


def _row(way: str, one: list[tuple[float, float]], two: list[tuple[float, float]]) -> dict[str, object]:
    wall = [min(wall for wall, _ in times) for times in (one, two)]
    processor = [median(processor for _, processor in times) for times in (one, two)]
    return {
        "side": way,
        "wall_ms_1_worker": round(1e3 * wall[0], 1),
        "wall_ms_2_workers": round(1e3 * wall[1], 1),
        "efficiency": round(wall[0] / wall[1], 2),
        "CPU_ms_1_worker": round(1e3 * processor[0], 1),
        "CPU_ms_2_workers": round(1e3 * processor[1], 1),
    }


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rate", type=int, help="megabits per second")
    options = parser.parse_args()
    if inside_own_network():
        facts = prepare(1)
        if options.rate:
            shape = ["tc", "qdisc", "add", "dev", "lo", "root", "tbf", "rate", f"{options.rate}mbit"]
            subprocess.run([*shape, "burst", "256kb", "latency", "200ms"], check=True)
        loads = [os.getloadavg()[0]]
        found = {}
        for workers in (1, 2):
            found[workers] = on_workers(workers, measure, options.rounds)
            loads.append(os.getloadavg()[0])
        rows = [_row(way, found[1][way], found[2][way]) for way in _SIDES]
        for row in rows:
            print(*row.values(), sep="  ")
        name = f"distributed_scaling_{options.rate}" if options.rate else "distributed_scaling"
        write_result(
            name,
            {
                "title": "Weak scaling of a training step",
                "note": f"The small VGG, {_BATCH} images per worker, ranks at {_SHARE} of the full ones; wall time "
                "of the fastest round, median of the processor time of a worker. The load is that of the machine when "
                "the run began, and after the runs of one and of two workers, which are part of it.",
                **facts,
                "clock": "wall and CPU time",
                "cores": os.cpu_count(),
                "load": [round(load, 1) for load in loads],
                "megabits_per_second": options.rate,
                "rounds": options.rounds,
                "rows": rows,
            },
        )


if __name__ == "__main__":
    main()
