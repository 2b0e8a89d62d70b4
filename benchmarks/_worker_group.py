"""Groups of worker processes on a network of their own, whose counters see their traffic and nothing else."""

import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable
from datetime import timedelta
from fcntl import ioctl
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

__all__ = ["inside_own_network", "on_workers", "wire_bytes"]

_INSIDE = "RANKFOLD_OWN_NETWORK"
_PATIENCE = timedelta(minutes=10)
# linux/sockios.h and linux/if.h: set the flags of an interface; it is up.
_SIOCSIFFLAGS, _IFF_UP = 0x8914, 0x1


def inside_own_network() -> bool:
    """Whether this process has a network namespace of its own; if not, it has run the command again in one.

    Raises:
        SystemExit: there is no ``unshare`` of util-linux, or it is not allowed.
    """
    if os.environ.get(_INSIDE):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as anything:
            ioctl(anything, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _IFF_UP))
        return True
    if shutil.which("unshare") is None:
        raise SystemExit(
            "This benchmark counts bytes in a network namespace; install util-linux for unshare."
        )
    module = f"benchmarks.{Path(sys.argv[0]).stem}"
    command = ["unshare", "--map-root-user", "--net", sys.executable, "-m", module, *sys.argv[1:]]
    raise SystemExit(subprocess.run(command, env={**os.environ, _INSIDE: "1"}, check=False).returncode)


def wire_bytes() -> int:
    """Bytes that went over the loopback interface of this network so far."""
    lines = Path("/proc/net/dev").read_text().splitlines()
    counters = next(line.partition(":")[2].split() for line in lines if line.strip().startswith("lo:"))
    return int(counters[0])


def on_workers(count: int, work: Callable[..., Any], *arguments: Any) -> Any:
    """What the first of some workers returns, each with one thread.

    Arguments:
        count: workers.
        work: a function of a module; takes the number of the worker, then the arguments.
        *arguments: plain values.
    """
    with tempfile.TemporaryDirectory() as folder:
        mp.spawn(_run, (count, folder, work, arguments), nprocs=count)  # pyright: ignore
        return torch.load(Path(folder) / "result.pt")


def _run(rank: int, count: int, folder: str, work: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    store = f"file://{folder}/store"
    dist.init_process_group("gloo", init_method=store, rank=rank, world_size=count, timeout=_PATIENCE)
    result = work(rank, *arguments)
    if rank == 0:
        torch.save(result, Path(folder) / "result.pt")
    dist.barrier()
    dist.destroy_process_group()
