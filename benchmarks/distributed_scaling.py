"""Weak scaling of training steps on one and two workers, low-rank against dense, each worker with a batch of its own.

Perfect scaling takes on two workers the time of one. With ``--rate`` the loopback interface is shaped to that many
megabits per second (``tc`` of iproute2), for the traffic of all workers together, as on a slow network.
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

_BATCH, _SHARE = 32, 0.25
_SIDES: dict[str, float | None] = {
    "dense, DistributedDataParallel": None,
    "TDLRT, core_steps=10": _SHARE,
    "TDLRT, core_steps=1": _SHARE,
}


def measure(rank: int, rounds: int) -> dict[str, list[float]]:
    """Seconds of a step of every side, by round; all workers wait for one another before and after."""
    sides = {way: DistributedSide("VGG", share, way, _BATCH) for way, share in _SIDES.items()}
    times: dict[str, list[float]] = {way: [] for way in sides}
    for index in range(rounds + 1):
        for way, side in sides.items():
            dist.barrier()
            started = time.perf_counter()
            for _ in range(side.steps_per_cycle):
                side.step()
            dist.barrier()
            if index:
                times[way].append((time.perf_counter() - started) / side.steps_per_cycle)
    return times


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
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
        rows = [
            {
                "side": way,
                "ms_1_worker": round(1e3 * median(found[1][way]), 1),
                "ms_2_workers": round(1e3 * median(found[2][way]), 1),
                "efficiency": round(median(found[1][way]) / median(found[2][way]), 3),
            }
            for way in _SIDES
        ]
        for row in rows:
            print(*row.values(), sep="  ")
        name = f"distributed_scaling_{options.rate}" if options.rate else "distributed_scaling"
        write_result(
            name,
            {
                "title": "Weak scaling of a training step",
                "note": f"The small VGG, {_BATCH} images per worker, ranks held at {_SHARE} of the full ones; medians "
                "of the wall time over the rounds. The load is that of the machine when the run began, and after the "
                "runs of one and of two workers, which are part of it.",
                **facts,
                "clock": "wall",
                "cores": os.cpu_count(),
                "load": [round(load, 1) for load in loads],
                "megabits_per_second": options.rate,
                "rounds": options.rounds,
                "rows": rows,
            },
        )


if __name__ == "__main__":
    main()
