"""Tables and numbers in Markdown."""

from collections.abc import Sequence
from typing import Any

__all__ = ["cell", "columns", "table"]


def cell(value: Any) -> str:
    """A value as it stands in a table: four significant digits, a dash for nothing."""
    if value is None:
        return "-"
    if isinstance(value, float):
        if value == 0 or 1e-3 <= abs(value) < 1e5:
            digits = f"{value:.4g}"
            return digits if "e" not in digits else f"{value:.0f}"
        return f"{value:.1e}"
    return str(value).replace("|", "\\|")


def columns(rows: Sequence[dict[str, Any]]) -> list[str]:
    """All keys of all rows, in the order in which they first come."""
    return list(dict.fromkeys(key for row in rows for key in row))


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Rows as a Markdown table; a key that a row lacks is a dash, underscores are spaces."""
    names = columns(rows)
    lines = [
        "| " + " | ".join(name.replace("_", " ") for name in names) + " |",
        "|" + "---|" * len(names),
    ]
    lines += ["| " + " | ".join(cell(row.get(name)) for name in names) + " |" for row in rows]
    return "\n".join(lines)
