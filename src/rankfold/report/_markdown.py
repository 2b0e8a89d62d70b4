"""Tables and numbers in Markdown."""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["markdown_cell", "markdown_table"]


def markdown_cell(value: Any) -> str:
    """A value as it stands in a table: four significant digits, a dash for nothing.

    Arguments:
        value: anything; a bar in its text does not end the cell.

    Returns:
        The text.

    Example:
        >>> markdown_cell(0.123456), markdown_cell(None), markdown_cell(1.2e-9)
        ('0.1235', '-', '1.2e-09')
    """
    if value is None:
        return "-"
    if isinstance(value, float):
        if value == 0 or 1e-3 <= abs(value) < 1e5:
            digits = f"{value:.4g}"
            return digits if "e" not in digits else f"{value:.0f}"
        return f"{value:.1e}"
    return str(value).replace("|", "\\|").replace("\n", " ")


def markdown_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as a Markdown table.

    Arguments:
        rows: values by column; columns stand in the order in which they first come, underscores in names are spaces,
            a column that a row lacks is a dash.

    Returns:
        The lines.

    Example:
        >>> print(markdown_table([{"m": 1, "loss": 0.5}, {"m": 2}]))
        | m | loss |
        |---|---|
        | 1 | 0.5 |
        | 2 | - |
    """
    names = list(dict.fromkeys(key for row in rows for key in row))
    lines = [
        "| " + " | ".join(markdown_cell(name.replace("_", " ")) for name in names) + " |",
        "|" + "---|" * len(names),
    ]
    lines += ["| " + " | ".join(markdown_cell(row.get(name)) for name in names) + " |" for row in rows]
    return "\n".join(lines)
