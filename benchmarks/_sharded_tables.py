"""The tables of docs/decompose_large.md, from the result of the benchmark."""

from pathlib import Path
from typing import Any

from rankfold.report import markdown_table

__all__ = ["rewrite", "tables"]

PAGE = Path(__file__).parent.parent / "docs" / "decompose_large.md"


def tables(record: dict[str, Any]) -> dict[str, str]:
    """What the page shows of a result, by what it is about."""
    return {
        "constants": markdown_table([record["constants"]]),
        "checks": markdown_table(record["checks"]),
        "plan": markdown_table(record["plan"]),
        "memory": f"needs at most {record['memory_mib']:.0f} MiB",
    }


def rewrite(before: dict[str, Any], now: dict[str, Any]) -> None:
    """Put what a new result says in the place of what an old one said."""
    text = PAGE.read_text(encoding="utf-8")
    for old, new in zip(tables(before).values(), tables(now).values(), strict=True):
        text = text.replace(old, new)
    PAGE.write_text(text, encoding="utf-8")
