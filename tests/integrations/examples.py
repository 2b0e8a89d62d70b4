"""The scripts of ``examples/``, run as they are and compared line by line."""

import difflib
import doctest
import runpy
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2] / "examples"


def changed_lines(pair: str) -> int:
    """Lines of the script in low rank that the dense one does not have, or the other way round if those are more.

    What the file says about itself in its first line does not count.
    """
    dense, low = ((ROOT / pair / f"{name}.py").read_text().splitlines()[1:] for name in ("dense", "low_rank"))
    marks = [line[0] for line in difflib.ndiff(dense, low)]
    return max(marks.count("+"), marks.count("-"))


def run_example(path: str, *arguments: str) -> Any:
    """What ``main`` of a script returns, with these arguments."""
    before, sys.argv = sys.argv, [path, *arguments]
    try:
        return runpy.run_path(str(ROOT / path))["main"]()
    finally:
        sys.argv = before


def check_doctests(module: Any) -> None:
    """Run the examples of a module that pytest does not collect, because its import takes long or changes settings."""
    failed, attempted = doctest.testmod(module)
    assert failed == 0
    assert attempted > 0
