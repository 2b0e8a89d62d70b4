"""Rows of text with aligned columns."""

from collections.abc import Collection, Sequence

__all__ = ["text_table"]


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]], numbers: Collection[int]) -> str:
    """Align the columns of a table; those of numbers to the right.

    Example:
        >>> print(text_table(("layer", "size"), [("conv1", "1,024"), ("fc", "8")], numbers=(1,)))
        layer   size
        conv1  1,024
        fc         8
    """
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in numbers else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [header, *rows]
    )
