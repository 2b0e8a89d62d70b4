"""What ``import rankfold`` adds to ``import torch``, in fresh interpreters, interleaved."""

import subprocess
import sys
import time
from statistics import median

from benchmarks._results import write_result

REPEATS = 7


def seconds(statement: str) -> float:
    """Wall time of a fresh interpreter that runs one statement."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-c", statement], check=True)
    return time.perf_counter() - started


def main() -> None:
    """Print and write the medians."""
    for statement in ("import torch", "import rankfold"):  # compile and cache both once
        seconds(statement)
    pairs = [(seconds("import torch"), seconds("import rankfold")) for _ in range(REPEATS)]
    torch_seconds = median(pair[0] for pair in pairs)
    added = median(pair[1] - pair[0] for pair in pairs)
    print(f"import torch {torch_seconds:.2f} s, import rankfold adds {added:.3f} s (medians of {REPEATS})")
    write_result(
        "import_time",
        {"repeats": REPEATS, "torch_seconds": round(torch_seconds, 3), "added_seconds": round(added, 3)},
    )


if __name__ == "__main__":
    main()
