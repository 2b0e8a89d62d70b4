"""Groups of processes for tests: started once, they run every case in a process group of its own."""

import multiprocessing
import os
import time
import traceback
from collections.abc import Callable, Mapping
from datetime import timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

__all__ = ["Case", "run_workers"]

#: Takes the number of the worker and the number of workers.
Case = Callable[[int, int], Any]

_PATIENCE = timedelta(seconds=30)
# Gloo listens at ports that another group of tests may just have left, and then gives up.
_ATTEMPTS, _NOT_CONNECTED = 3, 75


def run_workers(
    count: int, cases: Mapping[str, Case], folder: Path, patience: float = 240
) -> dict[str, list[Any]]:
    """What every worker returned in every case; an exception that it did not catch comes as its text.

    Arguments:
        count: workers.
        cases: functions of modules, or partials of such.
        folder: empty.
        patience: seconds after which all are ended.
    """
    for attempt in range(_ATTEMPTS):
        place = folder / f"attempt{attempt}"
        place.mkdir()
        codes = _exit_codes(count, cases, place, patience)
        if _NOT_CONNECTED not in codes:
            break
    at = [file.read_text() for file in place.glob("at*")]
    assert codes == [0] * count, f"exit codes {codes} in cases {at}"
    found = [torch.load(place / f"{rank}.pt", weights_only=False) for rank in range(count)]
    return {name: [results[name] for results in found] for name in cases}


def _exit_codes(count: int, cases: Mapping[str, Case], place: Path, patience: float) -> list[int | None]:
    """Those of all workers; where one fails the others are not waited for."""
    context = _context()
    processes = [
        context.Process(target=_work, args=(rank, count, dict(cases), str(place)), daemon=True)
        for rank in range(count)
    ]
    for process in processes:
        process.start()
    end = time.monotonic() + patience
    try:
        while time.monotonic() < end:
            codes = [process.exitcode for process in processes]
            if None not in codes or any(codes):
                break
            time.sleep(0.05)
        return [process.exitcode for process in processes]
    finally:
        for process in processes:
            process.kill()


@lru_cache
def _context() -> Any:
    # One process imports torch, and all workers are forks of it.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["torch._dynamo", "tests.training.distributed.cases"])
    return context


def _work(rank: int, count: int, cases: Mapping[str, Case], folder: str) -> None:
    torch.set_num_threads(1)
    # Gloo asks the name server for the name of this machine otherwise.
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    results = {}
    for index, (name, case) in enumerate(cases.items()):
        try:
            dist.init_process_group(
                "gloo",
                init_method=f"file://{folder}/store{index}",
                rank=rank,
                world_size=count,
                timeout=_PATIENCE,
            )
        except RuntimeError:
            traceback.print_exc()
            os._exit(_NOT_CONNECTED)
        (Path(folder) / f"at{rank}").write_text(name)
        torch.manual_seed(100 * rank)
        try:
            results[name] = case(rank, count)
        except Exception:
            results[name] = traceback.format_exc()
        if dist.is_initialized():
            dist.destroy_process_group()
    torch.save(results, Path(folder) / f"{rank}.pt")
