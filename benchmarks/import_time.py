"""What ``import rankfold`` costs beside ``import torch``, in fresh interpreters, interleaved (B11)."""

import os
import resource
import subprocess
import sys
from statistics import median

from benchmarks._results import write_result
from benchmarks._setup import prepare

REPEATS = 7
PEERS = ("torch", "rankfold", "tltorch")
NOTE = (
    "CPU time of python -c 'import MODULE' in fresh interpreters, taken in turns; medians of 7. times_torch is the "
    "median of the ratios to import torch in the same round. tltorch is tensorly-torch."
)


def seconds(module: str) -> float:
    """CPU time of a fresh interpreter that imports one module."""
    # As installed packages are imported: from bytecode, which the runs before the first that counts have written.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", f"import {module}"], check=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    """Print and write the medians."""
    facts = prepare(1)
    for module in PEERS:  # compile and cache all once
        seconds(module)
    times: dict[str, list[float]] = {module: [] for module in PEERS}
    for index in range(REPEATS):
        for module in PEERS if index % 2 == 0 else reversed(PEERS):
            times[module].append(seconds(module))
    rows = [
        {
            "module": module,
            "seconds": round(median(own), 3),
            "times_torch": round(median(a / b for a, b in zip(own, times["torch"], strict=True)), 3),
        }
        for module, own in times.items()
    ]
    added = median(ours - base for ours, base in zip(times["rankfold"], times["torch"], strict=True))
    for row in rows:
        print(f"import {row['module']}: {row['seconds']:.2f} s, {row['times_torch']:.3f} times import torch")
    result = {
        "title": "Import",
        "note": NOTE,
        **facts,
        "definitions": {
            "B11": {"measured": rows[1]["times_torch"], "target": "≤ 1.05", "unit": "times import torch"}
        },
        "rows": rows,
        "rounds": REPEATS,
        "torch_seconds": rows[0]["seconds"],
        "added_seconds": round(added, 3),
    }
    write_result("import_time", result)


if __name__ == "__main__":
    main()
