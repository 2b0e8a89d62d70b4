"""Groups of processes for tests: started once, they run every case in a process group of its own."""

import multiprocessing
import os
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
    context = _context()
    processes = [
        context.Process(target=_work, args=(rank, count, dict(cases), str(folder)), daemon=True)
        for rank in range(count)
    ]
    for process in processes:
        process.start()
    try:
        for process in processes:
            process.join(patience)
        codes = [process.exitcode for process in processes]
        assert codes == [0] * count, (
            f"exit codes {codes} in cases {[p.read_text() for p in folder.glob('at*')]}"
        )
    finally:
        for process in processes:
            process.kill()
    found = [torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(count)]
    return {name: [results[name] for results in found] for name in cases}


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
        dist.init_process_group(
            "gloo",
            init_method=f"file://{folder}/store{index}",
            rank=rank,
            world_size=count,
            timeout=_PATIENCE,
        )
        (Path(folder) / f"at{rank}").write_text(name)
        torch.manual_seed(100 * rank)
        try:
            results[name] = case(rank, count)
        except Exception:
            results[name] = traceback.format_exc()
        if dist.is_initialized():
            dist.destroy_process_group()
    torch.save(results, Path(folder) / f"{rank}.pt")
