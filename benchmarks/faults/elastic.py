"""A worker under torchrun is killed with SIGKILL; torchrun restarts the group; is the end that of the quiet run?

Two gloo workers average their gradients and save with ``rankfold.Checkpoints`` after each step. One of them kills
itself at a seeded step, before it, after it, or while the checkpoint is written.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import tyro

import rankfold
from benchmarks._results import write_result
from benchmarks._setup import prepare
from rankfold._checkpoint._file import read_file

__all__ = ["compared", "group_run"]

NOTE = (
    "torchrun with 2 gloo workers and elastic restarts; 40 steps of AdamW under TDLRT with dropout, so that the random "
    "states of the workers differ. Each of the first starts kills one worker at a seeded step. equal says whether "
    "weights, ranks, optimiser state and the random states of both workers at the end are those of the quiet run, bit "
    "for bit."
)


def group_run(folder: Path, seed: int, kills: int) -> int:
    """Run a group to its end; the number of restarts that it took.

    Arguments:
        folder: for the checkpoints.
        seed: of the moments.
        kills: how many workers are killed.
    """
    folder.mkdir()
    words = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    words += ["--max-restarts", str(kills), "--monitor-interval", "0.1"]
    worker = ["-m", "benchmarks.faults._elastic_worker", str(folder), str(seed), str(kills)]
    root = Path(__file__).parents[2]
    places = [str(root), str(Path(rankfold.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "PYTHONPATH": os.pathsep.join(filter(None, places)),
        # Or restarted gloo workers may find the addresses of those before them in the store, and not connect.
        "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
    }
    done = subprocess.run(
        [*words, *worker], env=environment, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-20_000:]
    found = {int((folder / f"worker-{rank}-restarts").read_text()) for rank in range(2)}
    assert len(found) == 1
    return found.pop()


def compared(one: Path, two: Path) -> bool:
    """Whether two folders hold the same last checkpoint, bit for bit."""
    (first, header), (second, other) = (read_file(rankfold.Checkpoints(at).paths()[0]) for at in (one, two))
    return header == other and all(
        tensor.dtype == second[name].dtype
        and torch.equal(tensor.reshape(-1).view(torch.uint8), second[name].reshape(-1).view(torch.uint8))
        for name, tensor in first.items()
    )


def main(seeds: int = 3, kills: int = 3, output: str = "faults_elastic") -> None:
    """Kill workers, and compare.

    Arguments:
        seeds: runs.
        kills: in each.
        output: name of the result.
    """
    facts = prepare(1)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="rankfold-elastic-") as place:
        quiet = Path(place) / "quiet"
        assert group_run(quiet, 0, 0) == 0
        for seed in range(seeds):
            started, folder = time.perf_counter(), Path(place) / f"killed-{seed}"
            restarts = group_run(folder, seed, kills)
            rows.append(
                {
                    "seed": seed,
                    "kills": kills,
                    "restarts": restarts,
                    "equal": compared(quiet, folder),
                    "seconds": round(time.perf_counter() - started, 1),
                }
            )
            print(rows[-1], flush=True)
    write_result(output, {"note": NOTE, **facts, "rows": rows})


if __name__ == "__main__":
    tyro.cli(main)
