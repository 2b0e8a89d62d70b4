"""What a page is made of: plain data, nothing of how it looks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from rankfold._errors import ShapeError

__all__ = [
    "BarChart",
    "Block",
    "Cell",
    "Chart",
    "Code",
    "Fact",
    "Group",
    "HeatMap",
    "Items",
    "Line",
    "LineChart",
    "Live",
    "Mark",
    "Page",
    "Picture",
    "Quantity",
    "Section",
    "Table",
    "Text",
]

Number = float | None


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number and how it is written; tables are sorted by the number.

    Arguments:
        number: None sorts last.
        text: such as ``'98.1 %'``.
    """

    number: Number
    text: str


Cell = str | int | float | Quantity | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Fact:
    """A headline number.

    Arguments:
        name: what it is.
        value: as it is written.
        twin: the same of the run beside it; empty where there is none.
        note: one line below.
    """

    name: str
    value: str
    twin: str = ""
    note: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """A paragraph.

    Arguments:
        text: plain.
        warning: whether it stands out.
    """

    text: str
    warning: bool = False


@dataclass(frozen=True, slots=True)
class Items:
    """A list of sentences."""

    items: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Code:
    """Words to be typed or read as they are.

    Arguments:
        text: of one line or several.
        caption: says what they are; empty where the block before does.
    """

    text: str
    caption: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """A table that the reader can sort; the first cell of a row is its header.

    Arguments:
        caption: stands above.
        columns: names.
        rows: cells, as many per row as there are columns.
        note: stands below.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""

    def __post_init__(self) -> None:
        _check(self.caption, len(self.columns), [len(row) for row in self.rows])


@dataclass(frozen=True, slots=True)
class Line:
    """One line or one kind of bars.

    Arguments:
        name: in the legend.
        values: one per place; None and NaN are gaps.
    """

    name: str
    values: Sequence[Number]


@dataclass(frozen=True, slots=True)
class Mark:
    """A vertical line at a place that matters.

    Arguments:
        x: where.
        label: what it is.
        line: number of the line it belongs to, or None.
    """

    x: float
    label: str
    line: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LineChart:
    """Lines over common places.

    Arguments:
        title, description: for everyone; the description says in words what is drawn.
        x_label, y_label: with units.
        x: the places, not falling.
        lines: as many values each as there are places.
        x_log: logarithmic axis; all places and marks are over 0 then.
        y_log: logarithmic axis; values that are not over 0 are gaps then.
        steps: whether a value holds until the next.
        points: whether values stand alone, so that those at the ends need room.
        marks: places that matter.
    """

    title: str
    description: str
    x_label: str
    y_label: str
    x: Sequence[float]
    lines: tuple[Line, ...]
    x_log: bool = False
    y_log: bool = False
    steps: bool = False
    points: bool = False
    marks: tuple[Mark, ...] = ()

    def __post_init__(self) -> None:
        _check(self.title, len(self.x), [len(line.values) for line in self.lines])
        if any(left > right for left, right in zip(self.x, self.x[1:], strict=False)):
            raise ShapeError(f"page: the places of {self.title!r} fall somewhere; sort them.")
        if self.x_log and not all(place > 0 for place in (*self.x, *(mark.x for mark in self.marks))):
            raise ShapeError(
                f"page: {self.title!r} has places that no logarithmic axis has; draw it without x_log."
            )


@dataclass(frozen=True, slots=True, kw_only=True)
class BarChart:
    """Horizontal bars from zero, in groups.

    Arguments:
        title, description: as of :class:`LineChart`.
        label: what the names are.
        value_label: what the bars are, with unit.
        names: of the groups.
        bars: as many values each as there are names.
    """

    title: str
    description: str
    label: str
    value_label: str
    names: tuple[str, ...]
    bars: tuple[Line, ...]

    def __post_init__(self) -> None:
        _check(self.title, len(self.names), [len(bar.values) for bar in self.bars])


@dataclass(frozen=True, slots=True, kw_only=True)
class HeatMap:
    """Numbers as colours.

    Arguments:
        title, description: as of :class:`LineChart`.
        row_label, column_label, value_label: what they are, with units.
        rows: names.
        columns: places.
        values: one tuple per row, as many values each as there are columns; None and NaN are gaps.
    """

    title: str
    description: str
    row_label: str
    column_label: str
    value_label: str
    rows: tuple[str, ...]
    columns: tuple[float, ...]
    values: tuple[tuple[Number, ...], ...]

    def __post_init__(self) -> None:
        _check(self.title, len(self.rows), [len(self.values)])
        _check(self.title, len(self.columns), [len(row) for row in self.values])


Chart = LineChart | BarChart | HeatMap


@dataclass(frozen=True, slots=True, kw_only=True)
class Picture:
    """A drawing that was made elsewhere; it is shown as an image, in which no script runs.

    Arguments:
        title: stands above.
        description: for those who do not see it.
        svg: the file.
    """

    title: str
    description: str
    svg: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """Blocks that are folded away until the reader asks for them.

    Arguments:
        summary: what is inside.
        blocks: what is inside.
        opened: whether it is open from the start.
    """

    summary: str
    blocks: "tuple[Block, ...]"
    opened: bool = False


Block = Text | Items | Code | Table | LineChart | BarChart | HeatMap | Picture | Group


@dataclass(frozen=True, slots=True)
class Section:
    """A question and what answers it.

    Arguments:
        title: the question.
        blocks: the answer.
    """

    title: str
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Live:
    """That a page is of something that goes on; it loads itself again then, unless the reader says not to.

    Arguments:
        state: how far it is and when that was.
        seconds: from one load to the next, over 0.
    """

    state: str
    seconds: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """One page.

    Arguments:
        title: of page and window.
        subtitle: one line below.
        facts: headline numbers.
        twin: what the second number of the facts belongs to; empty where there is none.
        sections: in the order in which they are read.
        about: names and values for the foot of the page.
        live: None of what is over.
    """

    title: str
    subtitle: str
    facts: tuple[Fact, ...] = ()
    twin: str = ""
    sections: tuple[Section, ...] = ()
    about: Mapping[str, str] = field(default_factory=dict)
    live: Live | None = None


def _check(title: str, wanted: int, found: list[int]) -> None:
    for size in found:
        if size != wanted:
            raise ShapeError(f"page: {title!r} has {wanted} places and {size} values; give one per place.")
