"""What importing this library costs beside ``import torch``, in fresh interpreters, interleaved (B11)."""

import os
import resource
import subprocess
import sys
from statistics import median

from benchmarks._results import write_result
from benchmarks._setup import prepare

REPEATS = 7
TORCH, TRAINING = "import torch", "from rankfold import TDLRT, factorize"
STATEMENTS = (
    TORCH,
    "import torch, rankfold",
    TRAINING,
    "from rankfold import cp",
    "from rankfold import compress",
    "import tltorch",
)
NOTE = (
    "CPU time of python -c STATEMENT in fresh interpreters, taken in turns; medians of 7. times_torch is the median of "
    "the ratios to import torch in the same round. Names of rankfold are imported when they are first asked for, so "
    "the goal is judged by what training needs. tltorch is tensorly-torch."
)


def seconds(statement: str) -> float:
    """CPU time of a fresh interpreter that runs one statement."""
    # As installed packages are imported: from bytecode, which the runs before the first that counts have written.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-c", statement], check=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main() -> None:
    """Print and write the medians."""
    facts = prepare(1)
    for statement in STATEMENTS:  # compile and cache all once
        seconds(statement)
    times: dict[str, list[float]] = {statement: [] for statement in STATEMENTS}
    for index in range(REPEATS):
        for statement in STATEMENTS if index % 2 == 0 else reversed(STATEMENTS):
            times[statement].append(seconds(statement))
    rows = {
        statement: {
            "statement": statement,
            "seconds": round(median(own), 3),
            "times_torch": round(median(a / b for a, b in zip(own, times[TORCH], strict=True)), 3),
        }
        for statement, own in times.items()
    }
    added = median(ours - base for ours, base in zip(times[TRAINING], times[TORCH], strict=True))
    for row in rows.values():
        print(f"{row['statement']}: {row['seconds']:.2f} s, {row['times_torch']:.3f} times import torch")
    result = {
        "title": "Import",
        "note": NOTE,
        **facts,
        "definitions": {
            "B11": {
                "measured": rows[TRAINING]["times_torch"],
                "target": "≤ 1.05",
                "unit": "times import torch",
            }
        },
        "rows": list(rows.values()),
        "rounds": REPEATS,
        "torch_seconds": rows[TORCH]["seconds"],
        "added_seconds": round(added, 3),
    }
    write_result("import_time", result)


if __name__ == "__main__":
    main()
