"""What a value shows of itself: plain data that a terminal writes as text and a notebook as HTML."""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Bar", "Block", "Cell", "Curve", "Drawn", "Facts", "Grid", "Note", "View"]


@dataclass(frozen=True, slots=True)
class Bar:
    """A share as the length of a bar.

    Arguments:
        share: in 0..1, longer ones end there; None draws an empty bar.
    """

    share: float | None


@dataclass(frozen=True, slots=True)
class Curve:
    """A small line on a logarithmic scale, without axes.

    Arguments:
        values: what is not positive and finite is a gap.
        words: what it draws, for who cannot see it; its numbers are in the text beside it.
        places: where the values stand, rising; None spaces them evenly.
    """

    values: Sequence[float]
    words: str
    places: Sequence[float] | None = None


@dataclass(frozen=True, slots=True)
class Drawn:
    """A cell with a picture, which a terminal leaves out.

    Arguments:
        text: says the same.
        picture: stands beside it.
    """

    text: str
    picture: Bar | Curve


Cell = str | Drawn


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and values.

    Arguments:
        rows: pairs.
    """

    rows: tuple[tuple[str, Cell], ...]


@dataclass(frozen=True, slots=True)
class Grid:
    """A table; the first cell of a row is its header.

    Arguments:
        columns: names.
        rows: cells, as many per row as there are columns.
        numbers: places of the columns that are set to the right.
        marked: the row that stands out, or None; its words say so as well.
        what: the rows are, in the plural.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    numbers: tuple[int, ...] = ()
    marked: int | None = None
    what: str = "rows"


@dataclass(frozen=True, slots=True)
class Note:
    """A sentence.

    Arguments:
        text: plain.
        warning: whether it stands out.
    """

    text: str
    warning: bool = False


Block = Facts | Grid | Note


@dataclass(frozen=True, slots=True)
class View:
    """All that a value shows.

    Arguments:
        title: above it in a notebook; a terminal leaves it out.
        blocks: from top to bottom.
    """

    title: str
    blocks: tuple[Block, ...]
