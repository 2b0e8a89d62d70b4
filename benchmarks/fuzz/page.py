"""Write the table of docs/security.md from the committed counts: ``python -m benchmarks.fuzz.page``."""

import json
from pathlib import Path
from typing import Any

from rankfold.report import markdown_table

__all__ = ["PAGE", "RESULT", "page_with", "table"]

_ROOT = Path(__file__).parents[2]
PAGE = _ROOT / "docs" / "security.md"
RESULT = _ROOT / "benchmarks" / "results" / "fuzz.json"
_FIRST = "| reader | inputs |"


def table(result: dict[str, Any]) -> str:
    """One line for each reader, and the sum."""
    rows = [
        {
            "reader": row["reader"],
            "inputs": f"{row['inputs']:,}",
            "accepted": f"{row['accepted']:,}",
            "refused": ", ".join(f"{count:,} {kind}" for kind, count in row["refused"].items()) or "-",
            "findings": row["findings"],
        }
        for row in result["readers"]
    ]
    sums = {name: sum(row[name] for row in result["readers"]) for name in ("inputs", "accepted", "findings")}
    refused = sums["inputs"] - sums["accepted"] - sums["findings"]
    last = {
        "reader": "**all**",
        "inputs": f"{sums['inputs']:,}",
        "accepted": f"{sums['accepted']:,}",
        "refused": f"{refused:,}",
        "findings": sums["findings"],
    }
    return markdown_table([*rows, last])


def page_with(text: str, result: dict[str, Any]) -> str:
    """The page with the table of a result in the place of the one it has."""
    lines = text.splitlines()
    start = next(at for at, line in enumerate(lines) if line.startswith(_FIRST))
    end = next(at for at in range(start, len(lines)) if not lines[at].startswith("|"))
    return "\n".join([*lines[:start], table(result), *lines[end:]]) + "\n"


def main() -> None:
    """Write the page anew."""
    result = json.loads(RESULT.read_text())
    PAGE.write_text(page_with(PAGE.read_text(encoding="utf-8"), result), encoding="utf-8")
    print(f"wrote {PAGE.name}")


if __name__ == "__main__":
    main()
