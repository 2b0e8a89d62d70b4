"""kill -9 at random moments, again and again, until the run is complete: is it the uninterrupted one, bit for bit?

``rankfold train`` writes a checkpoint after every batch, so that many kills meet a write; a plain loop does the same
with ``rankfold.Checkpoints``. After some kills a byte of the newest checkpoint is changed, as a failing disk would.
"""

import contextlib
import io
import json
import random
import shutil
import tempfile
import time
import warnings
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import tyro
from torch import nn

import rankfold
from benchmarks._results import write_result
from benchmarks._setup import prepare
from benchmarks.faults._forks import run_and_kill
from rankfold._checkpoint._file import read_file
from rankfold.cli import main as command

NOTE = (
    "Chains of processes, each killed with SIGKILL at a seeded moment after it began to work and followed by one that "
    "resumes, until the run is complete; then another chain. A write was hit where the kill left a temporary file. "
    "damaged counts the kills after which the newest checkpoint was changed or cut as well. A loss is a process that "
    "could not go on, or a chain whose weights, ranks, metrics, optimiser or random states are not those of the run "
    "that nobody interrupted, bit for bit."
)
WORDS = ["--model", "mlp", "--rank", "8", "--batch-size", "144", "--threads", "1", "--core-steps", "3"]
EPOCHS, STEPS = 3, 60
LONGEST = 0.4  # seconds that a process gets at most


@dataclass(frozen=True)
class Kind:
    """One way to train.

    Arguments:
        name: in the table.
        act: trains in a folder, from where it stands to the end.
        outcome: everything that must be equal, from a complete folder.
        newest: the checkpoint that may be damaged, or None.
    """

    name: str
    act: Callable[[Path], int]
    outcome: Callable[[Path], dict[str, Any]]
    newest: Callable[[Path], Path | None]


def trained(folder: Path) -> int:
    """``rankfold train``, new or resumed."""
    often = ["--checkpoint-every", "1", "--keep", "3"]
    if (folder / "config.json").is_file():
        return command(["train", "--resume", str(folder), *often])
    return command(["train", "--out", str(folder), "--epochs", str(EPOCHS), *WORDS, *often])


def outcome_of_training(folder: Path) -> dict[str, Any]:
    """Model, state and lines, without times."""
    lines = {
        file: [json.loads(line) for line in (folder / file).read_text().splitlines()]
        for file in ("metrics.jsonl", "ranks.jsonl")
    }
    for line in lines["metrics.jsonl"]:
        del line["seconds"]
    tensors, header = read_file(folder / "checkpoint.safetensors")
    assert header is not None
    return {
        "lines": lines,
        "state": _without_times(header["tree"]),
        "tensors": _bits(tensors),
        "model": _bits(read_file(folder / "model.safetensors")[0]),
    }


def looped(folder: Path) -> int:
    """A plain loop with dropout, Adam, a schedule and a checkpoint after every step."""
    torch.manual_seed(0)
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002 - the global generators are what a loop uses
    model = nn.Sequential(nn.Linear(20, 32), nn.ReLU(), nn.Dropout(0.1), nn.Linear(32, 10))
    rankfold.factorize(model, 8)
    optimizer = rankfold.TDLRT(model, torch.optim.Adam, lr=0.01, core_steps=2, tolerance=0.2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    checkpoints = rankfold.Checkpoints(folder, keep=3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # it tells of the damage that we did
        restored = checkpoints.restore(model, optimizer=optimizer, scheduler=schedule)
    done, losses = (0, []) if restored is None else (restored.step, restored.extra["losses"])
    for step in range(done + 1, STEPS + 1):
        x = torch.randn(32, 20) + random.random() + np.random.normal()  # noqa: NPY002
        optimizer.zero_grad()
        loss = model(x).square().mean()
        loss.backward()
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
        extra = {"losses": losses, "ranks": [list(layer.ranks) for layer in optimizer.layers.values()]}
        checkpoints.save(model, step, optimizer=optimizer, scheduler=schedule, extra=extra)
    return 0


def outcome_of_loop(folder: Path) -> dict[str, Any]:
    """The last checkpoint: model, optimiser, schedule, random states, losses and ranks."""
    tensors, header = read_file(rankfold.Checkpoints(folder).paths()[0])
    return {"header": header, "tensors": _bits(tensors)}


KINDS = (
    Kind(
        "rankfold train",
        trained,
        outcome_of_training,
        lambda folder: folder / "checkpoint.safetensors",
    ),
    Kind(
        "loop", looped, outcome_of_loop, lambda folder: next(iter(rankfold.Checkpoints(folder).paths()), None)
    ),
)


def _bits(tensors: dict[str, torch.Tensor]) -> dict[str, tuple[str, bytes]]:
    return {
        name: (str(tensor.dtype), tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes())
        for name, tensor in tensors.items()
    }


def _without_times(node: Any) -> Any:
    """A stored tree without the seconds that a run took."""
    if isinstance(node, dict) and "dict" in node:
        kept = [
            [key, _without_times(value)] for key, value in node["dict"] if key not in ("elapsed", "seconds")
        ]
        return {"dict": kept}
    return node


def _damage(file: Path, chance: random.Random) -> None:
    """Change one byte of the numbers, or cut the file."""
    content = bytearray(file.read_bytes())
    if chance.random() < 0.5:
        content = content[: chance.randrange(len(content))]
    else:
        content[chance.randrange(len(content) // 2, len(content))] ^= 1 << chance.randrange(8)
    file.write_bytes(content)


def campaign(kind: Kind, kills: int, seed: int) -> dict[str, Any]:
    """Kill until it was done so many times, then complete the last chain."""
    chance, started = random.Random(f"{kind.name} {seed}"), time.perf_counter()
    counts: Counter[str] = Counter()
    place = Path(tempfile.mkdtemp(prefix="rankfold-kills-"))
    try:
        whole = place / "whole"
        with contextlib.redirect_stdout(io.StringIO()):
            kind.act(whole)  # here, so that the children have all that is imported on the way
        expected = kind.outcome(whole)
        chain = place / "chain-0"
        while True:
            after = chance.uniform(0, LONGEST) if counts["kills"] < kills else None
            at_work = chance.random() < 0.85  # or at any moment since the fork
            ending = run_and_kill(
                partial(kind.act, chain), after, _watch(kind, chain) if at_work else lambda: True
            )
            counts["processes"] += 1
            if ending.killed:
                _count_kill(chain, kind, chance, counts)
                continue
            if ending.code != 0:
                counts["losses"] += 1
                print(f"{kind.name}, chain {counts['chains']}: {ending.said}", flush=True)
            elif differing := _differing(kind.outcome(chain), expected):
                counts["losses"] += 1
                print(f"{kind.name}, chain {counts['chains']}: other {differing}", flush=True)
            counts["chains"] += 1
            if counts["kills"] >= kills:
                break
            shutil.rmtree(chain)
            chain = place / f"chain-{counts['chains']}"
    finally:
        shutil.rmtree(place, ignore_errors=True)
    names = ("kills", "in_a_write", "before_a_checkpoint", "damaged", "processes", "chains", "losses")
    return {
        "kind": kind.name,
        **{name: counts[name] for name in names},
        "seconds": round(time.perf_counter() - started, 1),
    }


def _watch(kind: Kind, chain: Path) -> Callable[[], bool]:
    """Whether the child has written a checkpoint."""
    known = _stamp(kind.newest(chain))
    return lambda: _stamp(kind.newest(chain)) != known


def _differing(one: dict[str, Any], two: dict[str, Any]) -> list[str]:
    return [name for name in two if one.get(name) != two[name]]


def _stamp(file: Path | None) -> object:
    """Something that changes whenever a file is written."""
    try:
        return None if file is None else (file.name, file.stat().st_mtime_ns, file.stat().st_ino)
    except FileNotFoundError:
        return None


def _count_kill(chain: Path, kind: Kind, chance: random.Random, counts: Counter[str]) -> None:
    counts["kills"] += 1
    newest = kind.newest(chain)
    if any(chain.glob(".*.part")):
        counts["in_a_write"] += 1
    if newest is None or not newest.exists():
        counts["before_a_checkpoint"] += 1
        return
    # With one checkpoint only there is none that could take its place.
    several = (
        len(list(chain.glob("checkpoint-*.safetensors"))) + len(list(chain.glob("step-*.safetensors"))) > 1
    )
    if several and chance.random() < 0.15:
        _damage(newest, chance)
        counts["damaged"] += 1


def main(kills: int = 200, seed: int = 0, output: str = "faults_kills") -> None:
    """Kill ``rankfold train`` and a loop so many times each.

    Arguments:
        kills: of each.
        seed: of the moments.
        output: name of the result.
    """
    facts = prepare(1)
    rows = []
    for kind in KINDS:
        rows.append(campaign(kind, kills, seed))
        print(rows[-1], flush=True)
    write_result(output, {"note": NOTE, **facts, "seed": seed, "rows": rows})
    if any(row["losses"] for row in rows):
        raise SystemExit("something was lost")


if __name__ == "__main__":
    tyro.cli(main)
