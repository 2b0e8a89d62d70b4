"""Write a result with everything needed to repeat it."""

import json
import platform
import shlex
import sys
from pathlib import Path
from typing import Any

import torch

import rankfold

__all__ = ["write_result"]


def write_result(name: str, result: dict[str, Any]) -> None:
    """Write ``benchmarks/results/NAME.json`` and print where.

    Arguments:
        name: name of the benchmark.
        result: plain values.
    """
    # The module's own name, not the path of its file, which differs from machine to machine.
    place, folder = Path(sys.argv[0]).resolve(), Path(__file__).resolve().parent
    within = place.relative_to(folder) if place.is_relative_to(folder) else Path(place.name)
    module = ".".join(within.with_suffix("").parts)
    # Where the data lies is a matter of the machine; the variable RANKFOLD_DATA says it as well.
    arguments = [a for i, a in enumerate(sys.argv[1:], 1) if "--data-dir" not in (a, sys.argv[i - 1])]
    record = {
        "command": shlex.join(["python", "-m", f"benchmarks.{module}", *arguments]),
        "rankfold": rankfold.__version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
        **result,
    }
    path = Path(__file__).parent / "results" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n")
    print(f"wrote {path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}")
