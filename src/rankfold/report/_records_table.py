"""Records as a terminal table."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.table import Table

from rankfold.report._markdown import markdown_cell
from rankfold.report._tables import empty_table, plain

__all__ = ["records_table"]


def records_table(title: str, rows: Sequence[Mapping[str, Any]]) -> Table:
    """One line per record, one column per name; numbers to four digits, a dash where a record lacks the name.

    Arguments:
        title: stands above.
        rows: plain values by name; columns stand in the order in which they first come.
    """
    table = empty_table(title)
    names = list(dict.fromkeys(name for row in rows for name in row))
    for name in names:
        numbers = all(isinstance(row.get(name), int | float | None) for row in rows)
        table.add_column(plain(name), justify="right" if numbers else "left", overflow="fold")
    for row in rows:
        table.add_row(*(plain(markdown_cell(row.get(name))) for name in names))
    return table
