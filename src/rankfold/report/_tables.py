"""Terminal tables."""

from collections.abc import Iterable, Mapping, Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from rankfold._display import one_line, sizes
from rankfold.convert import ConvertedLayer
from rankfold.report._layers import saved_share

__all__ = ["empty_table", "facts_table", "layers_table", "plain", "ranks_table", "sizes", "tensors_table"]


def plain(text: str) -> Text:
    """A name from outside as a cell: no markup, one line, nothing hidden.

    Example:
        >>> plain("[bold]conv" + chr(27) + "[31m").plain
        '[bold]conv[U+001B][31m'
    """
    return Text(one_line(text))


def facts_table(title: str, facts: Mapping[str, object]) -> Table:
    """Names and values, one pair per row.

    Arguments:
        title: stands above.
        facts: values are shown as ``str`` gives them.
    """
    table = empty_table(title)
    table.show_header = False
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(plain(name), plain(str(value)))
    return table


def layers_table(rows: Iterable[ConvertedLayer]) -> Table:
    """Shape, ranks, and parameters before and after of each layer, with their sum."""
    rows = tuple(rows)
    table = empty_table("Factorised layers")
    table.show_footer = True
    before, after = sum(row.parameters_before for row in rows), sum(row.parameters_after for row in rows)
    table.add_column("layer", "all", overflow="fold")
    table.add_column("kind", no_wrap=True)
    table.add_column("shape", no_wrap=True)
    table.add_column("ranks", no_wrap=True)
    table.add_column("before", f"{before:,}", justify="right", no_wrap=True)
    table.add_column("after", f"{after:,}", justify="right", no_wrap=True)
    table.add_column("saved", f"{saved_share(rows):.1%}", justify="right", no_wrap=True)
    for row in rows:
        table.add_row(
            plain(row.name),
            plain(row.kind),
            sizes(row.shape),
            sizes(row.ranks or ()),
            f"{row.parameters_before:,}",
            f"{row.parameters_after:,}",
            f"{saved_share([row]):.1%}",
        )
    return table


def ranks_table(history: Mapping[str, tuple[Sequence[int], Sequence[int], int]]) -> Table:
    """Where the ranks of each layer began and where they are.

    Arguments:
        history: for each layer its first ranks, its last ranks, and how many truncations changed them.
    """
    table = empty_table("Ranks")
    table.add_column("layer", overflow="fold")
    for name in ("first", "last", "changes"):
        table.add_column(name, justify="right" if name == "changes" else "left", no_wrap=True)
    for name, (first, last, changes) in history.items():
        table.add_row(plain(name), sizes(first), sizes(last), str(changes))
    return table


def tensors_table(tensors: Mapping[str, tuple[Sequence[int], str]]) -> Table:
    """Name, shape and type of each tensor of a file.

    Arguments:
        tensors: for each tensor its shape and the name of its type.
    """
    table = empty_table("Tensors")
    table.add_column("tensor", overflow="fold")
    table.add_column("shape", no_wrap=True)
    table.add_column("type", no_wrap=True)
    for name, (shape, kind) in tensors.items():
        table.add_row(plain(name), sizes(shape), plain(kind))
    return table


def empty_table(title: str) -> Table:
    """A table without columns yet, in the style of all tables here."""
    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
