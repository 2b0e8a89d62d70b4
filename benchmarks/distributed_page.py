"""Write the tables of docs/distributed.md from the results under benchmarks/results."""

import json
import re
from pathlib import Path
from typing import Any

from rankfold.report import markdown_table

__all__ = ["PAGE", "with_tables"]

_ROOT = Path(__file__).parent.parent
PAGE = _ROOT / "docs" / "distributed.md"
_NAMES = ("distributed_bytes", "distributed_scaling", "distributed_scaling_1000")


def with_tables(text: str) -> str:
    """The text of the page with the tables of the results, each below a bold line that says what it is."""
    blocks = iter([_block(_result(name)) for name in _NAMES])
    return re.sub(
        r"^\*\*[^*\n]+\*\*\n\n\|.*?(?=\n\n)", lambda _: next(blocks), text, flags=re.DOTALL | re.MULTILINE
    )


def _block(result: dict[str, Any]) -> str:
    rate, load = result.get("megabits_per_second"), result.get("load")
    rows = [dict(row) for row in result["rows"]]
    for row in rows:
        for key in ("wire_bytes", "formula_bytes"):
            if key in row:
                row[key] = f"{row[key]:,}"
    conditions = [f"at {rate / 1000:g} Gbit/s" if rate else ""]
    if load:
        conditions.append(f"{result['cores']} cores, load {', '.join(map(str, load))}")
    told = ", ".join(part for part in conditions if part)
    return f"**{result['title']}{f' ({told})' if told else ''}**\n\n{markdown_table(rows)}"


def _result(name: str) -> dict[str, Any]:
    return json.loads((_ROOT / "benchmarks" / "results" / f"{name}.json").read_text())


def main() -> None:
    """Write the page."""
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
