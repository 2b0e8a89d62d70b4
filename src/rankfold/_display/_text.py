"""Views as text."""

from collections.abc import Collection, Sequence

from rankfold._display._view import Block, Cell, Drawn, Facts, Grid, View
from rankfold._display._words import one_line

__all__ = ["text_of", "text_table"]


def text_of(view: View) -> str:
    """The blocks one below the other, tables with an empty line between them.

    Example:
        >>> from rankfold._display import Facts, Grid, Note
        >>> table = Grid(("layer", "size"), (("conv1", "1,024"),), numbers=(1,))
        >>> print(text_of(View("Sizes", (Facts((("model", "lenet"),)), table, Note("one layer")))))
        model  lenet
        <BLANKLINE>
        layer   size
        conv1  1,024
        one layer
    """
    parts = []
    for block in view.blocks:
        between = "\n" if parts and isinstance(block, Facts | Grid) else ""
        parts.append(between + _written(block))
    return "\n".join(parts)


def text_table(header: Sequence[str], rows: Sequence[Sequence[str]], numbers: Collection[int]) -> str:
    """Align the columns of a table; those of numbers to the right.

    Example:
        >>> print(text_table(("layer", "size"), [("conv1", "1,024"), ("fc", "8")], numbers=(1,)))
        layer   size
        conv1  1,024
        fc         8
    """
    lines = [[one_line(cell) for cell in row] for row in [header, *rows]]
    widths = [max(len(row[column]) for row in lines) for column in range(len(header))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if column in numbers else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in lines
    )


def _written(block: Block) -> str:
    if isinstance(block, Grid):
        rows = [[_words(cell) for cell in row] for row in block.rows]
        return text_table(block.columns, rows, block.numbers)
    if isinstance(block, Facts):
        first, *rest = ((name, _words(cell)) for name, cell in block.rows)
        return text_table(first, rest, ())
    return one_line(block.text)


def _words(cell: Cell) -> str:
    return cell.text if isinstance(cell, Drawn) else cell
