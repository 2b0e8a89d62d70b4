"""What workers do together in the tests of sharded tensors; run as a program it is one worker of three.

Every case is run by one process and by three workers, some (and all of the long ones) by two workers as well. What it
gives is written to files, as nothing else leaves a worker.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
import torch.distributed as dist

from rankfold import cp, tucker
from rankfold._collectives import workers_of
from rankfold.decompose import Decomposition, Sharded, TracePoint
from rankfold.formats import CP

WORKERS = 3
# No step of these tests takes seconds; a group that waits longer waits for ever.
PATIENCE = timedelta(seconds=60)
Group = Any
SHAPES = {"matrix": (9, 8), "cube": (7, 6, 5), "four": (5, 4, 2, 6), "five": (4, 3, 2, 3, 5)}
LAYOUTS = {
    "plain": lambda x: x,
    "reversed": np.asfortranarray,
    "foreign": lambda x: x.astype(">f8"),
    "single": lambda x: x.astype("<f4"),
}


def tensor(shape: tuple[int, ...], *, noise: float = 0.05, positive: bool = False) -> np.ndarray:
    """Two components and some noise."""
    rng = np.random.default_rng(len(shape))
    factors = tuple(torch.from_numpy(rng.standard_normal((size, 2))) for size in shape)
    if positive:
        factors = tuple(factor.abs() for factor in factors)
    exact = CP(torch.tensor([2.0, 1.0], dtype=torch.float64), factors).to_dense().numpy()
    return exact + noise * exact.std() * rng.standard_normal(shape)


def write_files(folder: Path) -> None:
    """The files that all cases read."""
    for name, shape in SHAPES.items():
        np.save(folder / f"{name}.npy", tensor(shape))
    for name, change in LAYOUTS.items():
        np.save(folder / f"{name}.npy", change(tensor(SHAPES["cube"])))
    np.save(folder / "positive.npy", tensor(SHAPES["cube"], positive=True))
    loadings = np.random.default_rng(1).standard_normal((6, 2))
    np.save(folder / "symmetric.npy", np.einsum("ir,jr,kr->ijk", loadings, loadings, loadings))
    np.save(folder / "large.npy", tensor((20, 13, 11), noise=0.1))
    for axis, cuts in ((0, (3, 4)), (2, (1, 2, 3, 4))):
        shards = folder / f"shards_{axis}"
        shards.mkdir()
        for index, part in enumerate(np.split(tensor(SHAPES["cube"]), cuts, axis)):
            np.save(shards / f"part_{index + 9}.npy", part)
    broken = tensor(SHAPES["cube"])
    broken[5, 1, 2] = np.nan
    np.save(folder / "nan.npy", broken)
    for file in folder.rglob("*.npy"):
        file.chmod(0o444)


def answer(result: Decomposition) -> dict[str, Any]:
    """A result as numbers, with all that decides when a solver stops."""
    return {
        "model": result.tensor.to_dense().double().numpy(),
        "error": np.array(result.relative_error),
        "ranks": np.array(result.tensor.ranks),
        "trace": np.array([point.relative_error for point in result.trace]),
        "methods": [point.method for point in result.trace],
    }


def decomposed(name: str, mode: int | None, format: str = "cp", block: int = 300, **options: Any) -> Callable:
    def case(folder: Path, group: Group) -> dict[str, Any]:
        source = folder / name
        x = (
            Sharded.from_npy(source, mode, group, block_bytes=block)
            if name.endswith(".npy")
            else Sharded.from_folder(source, int(name[-1]), mode, group, block_bytes=block)
        )
        return answer(
            cp(x, **{"generator": 0, "tolerance": 1e-5, **options})
            if format == "cp"
            else tucker(x, **options)
        )

    return case


def refused(act: Callable[[Path, Group, int], object]) -> Callable:
    """What an attempt says that fails on some worker."""

    def case(folder: Path, group: Group) -> dict[str, Any]:
        try:
            act(folder, group, workers_of(group).rank)
        except Exception as error:
            return {"kind": type(error).__name__, "sentence": str(error).replace(str(folder), "HERE")}
        return {"kind": "nothing", "sentence": ""}

    return case


def _missing_shard(folder: Path, group: Group, rank: int) -> None:
    """One worker sees a folder without a file that the list names."""
    mine = folder / f"missing_{rank}"
    if not mine.exists():
        shutil.copytree(folder / "shards_0", mine)
        (mine / "shards.json").write_text(json.dumps([file.name for file in sorted(mine.glob("*.npy"))]))
        if rank == 1:
            (mine / "part_9.npy").unlink()
    Sharded.from_folder(mine, 0, None, group)


def _other_file(folder: Path, group: Group, rank: int) -> None:
    Sharded.from_npy(folder / ("cube.npy" if rank else "positive.npy"), 0, group)
    np.save(folder / f"own_{rank}.npy", tensor((7 if rank else 8, 6, 5)))
    Sharded.from_npy(folder / f"own_{rank}.npy", 0, group)


def _only_gpus(folder: Path, group: Group, rank: int) -> None:
    """As where torch.distributed was started with nccl."""
    with mock.patch("torch.distributed.get_backend_config", return_value="cuda:nccl"):
        Sharded.from_npy(folder / "cube.npy", 0, group)


def _changed_file(folder: Path, group: Group, rank: int) -> None:
    """One worker's copy grows after it was opened."""
    mine = folder / f"changed_{rank}_{workers_of(group).count}.npy"
    np.save(mine, tensor(SHAPES["cube"]))
    x = Sharded.from_npy(mine, 0, group)
    if rank == workers_of(group).count - 1:
        with mine.open("ab") as file:
            file.write(b"more")
    cp(x, 1, method="als", generator=0)


def _stopped(folder: Path, group: Group) -> dict[str, Any]:
    """The last worker is told to stop after five points."""
    last = workers_of(group).rank == workers_of(group).count - 1
    seen: list[TracePoint] = []

    def callback(point: TracePoint) -> bool:
        seen.append(point)
        return last and len(seen) == 5

    x = Sharded.from_npy(folder / "cube.npy", 1, group)
    return answer(cp(x, 1, method="als", tolerance=0.0, generator=0, callback=callback))


def _fails_in_callback(folder: Path, group: Group, rank: int) -> None:
    def callback(point: TracePoint) -> None:
        if rank == workers_of(group).count - 1:
            raise LookupError("no such place")

    cp(Sharded.from_npy(folder / "cube.npy", 1, group), 1, method="als", generator=0, callback=callback)


def _sums(folder: Path, group: Group) -> dict[str, Any]:
    """Without a seed all workers draw what the first one draws."""
    torch.manual_seed(100 + workers_of(group).rank)
    x = Sharded.from_npy(folder / "cube.npy", 0, group)
    first, second = (cp(x, 2, method="als", max_iterations=1) for _ in range(2))
    return {"model": first.tensor.to_dense().numpy(), "other": second.tensor.to_dense().numpy()}


SAME: dict[str, Callable] = {
    **{
        f"als {name} mode {mode}": decomposed(f"{name}.npy", mode, rank=2, method="als", max_iterations=3)
        for name, modes in (("matrix", (0, 1)), ("cube", (0, 1, 2)), ("four", (1, 2)), ("five", (4,)))
        for mode in modes
    },
    **{
        f"als {name}": decomposed(f"{name}.npy", 0, rank=2, method="als", max_iterations=3)
        for name in LAYOUTS
    },
    "als to its end": decomposed("cube.npy", 0, rank=2, method="als"),
    "als shards": decomposed("shards_0", 0, rank=2, method="als", max_iterations=3),
    "als shards cut otherwise": decomposed("shards_2", 0, rank=2, method="als", max_iterations=3),
    "nonnegative": decomposed("positive.npy", 0, rank=2, method="als", nonnegative=True, max_iterations=3),
    "gauss_newton": decomposed("cube.npy", 1, rank=2, method="gauss_newton"),
    "gradient_flow": decomposed("large.npy", 0, rank=2, method="gradient_flow", block=4000),
    "auto, rank sought": decomposed("large.npy", 0, block=4000),
    "tucker ranks": decomposed("cube.npy", 0, "tucker", ranks=2),
    "tucker st_hosvd": decomposed("four.npy", 2, "tucker", ranks=(2, 3, 2, 2), method="st_hosvd"),
    "tucker tolerance": decomposed("large.npy", 0, "tucker", tolerance=0.2, block=4000),
    "tucker tight": decomposed("cube.npy", 1, "tucker", tolerance=1e-9),
    "tucker energy, improved": decomposed("cube.npy", 2, "tucker", energy=0.9, method="hooi"),
    "tucker matrix": decomposed("matrix.npy", 0, "tucker", tolerance=0.1),
    "tucker five": decomposed("five.npy", 4, "tucker", ranks=2),
    "stopped": _stopped,
}
# What two workers do as well.
PAIR = ("als to its end", "als shards", "gradient_flow", "tucker ranks", "tucker tolerance", "stopped")
# What takes seconds.
LONG: dict[str, Callable] = {
    "gradient_flow, nonnegative": decomposed(
        "positive.npy", 0, rank=2, method="gradient_flow", nonnegative=True, block=10**6
    ),
    "gradient_flow, symmetric": decomposed(
        "symmetric.npy", 1, rank=2, method="gradient_flow", symmetric=True, block=10**6
    ),
    **{
        f"als {name} mode {mode}": decomposed(f"{name}.npy", mode, rank=2, method="als")
        for name, shape in SHAPES.items()
        for mode in range(len(shape))
    },
    **{
        f"{method} {name} mode {mode}": decomposed(f"{name}.npy", mode, rank=2, method=method, block=2000)
        for method in ("greedy", "gradient_flow", "auto")
        for name in ("cube", "four")
        for mode in (0, 2)
    },
    **{
        f"tucker {name} mode {mode} {options}": decomposed(
            f"{name}.npy", mode, "tucker", block=2000, **options
        )
        for name, shape in SHAPES.items()
        for mode in range(len(shape))
        for options in (
            {"ranks": 2},
            {"tolerance": 0.2},
            {"tolerance": 1e-8},
            {"energy": 0.8, "method": "hooi"},
        )
    },
}
REFUSED: dict[str, Callable] = {
    "nan": refused(lambda folder, group, rank: cp(Sharded.from_npy(folder / "nan.npy", 0, group), 1)),
    "nan tucker": refused(
        lambda folder, group, rank: tucker(Sharded.from_npy(folder / "nan.npy", 0, group), 1)
    ),
    "missing": refused(_missing_shard),
    "no file": refused(
        lambda folder, group, rank: Sharded.from_npy(folder / ("none.npy" if rank else "cube.npy"), 0, group)
    ),
    "another file": refused(_other_file),
    "another mode": refused(lambda folder, group, rank: Sharded.from_npy(folder / "cube.npy", rank, group)),
    "changed": refused(_changed_file),
    "only GPUs": refused(_only_gpus),
    "rank": refused(
        lambda folder, group, rank: cp(
            Sharded.from_npy(folder / "cube.npy", 0, group), 1 + rank, method="als"
        )
    ),
    "seed": refused(
        lambda folder, group, rank: cp(Sharded.from_npy(folder / "cube.npy", 0, group), 1, generator=rank)
    ),
    "tucker ranks": refused(
        lambda folder, group, rank: tucker(Sharded.from_npy(folder / "cube.npy", 0, group), 1 + rank)
    ),
    "callback": refused(_fails_in_callback),
}


def run(cases: dict[str, Callable], folder: Path, group: Group) -> dict[str, dict[str, Any]]:
    """All cases, one after another."""
    return {name: case(folder, group) for name, case in cases.items()}


def main(folder: Path, rank: int, long: bool) -> None:
    """One worker: all cases with two workers, then with three."""
    store = dist.FileStore(str(folder / "store"), WORKERS)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=WORKERS, timeout=PATIENCE)
    pair = dist.new_group([0, 1], timeout=PATIENCE)
    groups = {"two": pair, "three": dist.group.WORLD} if rank < 2 else {"three": dist.group.WORLD}
    for name, group in groups.items():
        cases = LONG if long else SAME if name == "three" else {case: SAME[case] for case in PAIR}
        found = {
            **run(cases, folder, group),
            **{f"refused {k}": v for k, v in run(REFUSED, folder, group).items()},
        }
        found["unseeded"] = _sums(folder, group)
        write(folder / f"{name}_{rank}", found)
    dist.destroy_process_group()


def write(place: Path, found: dict[str, dict[str, Any]]) -> None:
    """Numbers and words of all cases, in two files."""
    arrays, words = {}, {}
    for case, values in found.items():
        for key, value in values.items():
            (arrays if isinstance(value, np.ndarray) else words)[f"{case}/{key}"] = value
    np.savez(place.with_suffix(".npz"), **arrays)
    place.with_suffix(".json").write_text(json.dumps(words))


def read(place: Path) -> dict[str, dict[str, Any]]:
    """What :func:`write` wrote."""
    found: dict[str, dict[str, Any]] = {}
    with np.load(place.with_suffix(".npz")) as arrays:
        items = [*arrays.items(), *json.loads(place.with_suffix(".json").read_text()).items()]
    for key, value in items:
        case, _, field = key.rpartition("/")
        found.setdefault(case, {})[field] = value
    return found


if __name__ == "__main__":
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    main(Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3] == "long")
