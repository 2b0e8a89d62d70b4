"""From the blocks of a page to what its template takes."""

import base64
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count as counted
from itertools import groupby
from typing import Any, get_args

from rankfold._display import data_number, finite, shown_number
from rankfold.report.page._bar_chart import MOST_BARS, draw_bars
from rankfold.report.page._blocks import (
    BarChart,
    Block,
    Cell,
    Chart,
    Group,
    HeatMap,
    LineChart,
    Picture,
    Quantity,
    Section,
    Table,
)
from rankfold.report.page._heat_map import draw_heat
from rankfold.report.page._line_chart import draw_lines, marker_class
from rankfold.report.page._thin import thinned_heat_map, thinned_lines

__all__ = ["page_parts"]

_SEEN = 3000  # values of a chart that is not folded away, more than it has pixels across
_CELLS = 3  # cells of a map for each value of another chart; neighbours of one colour are drawn as one
_LEAST = 60  # values that a chart has in any case
_ROWS = 2000  # of a table; what is left out is counted below it


def page_parts(
    sections: tuple[Section, ...], budget: int, markup: Callable[[str], Any]
) -> list[tuple[str, "list[_Part]"]]:
    """Titles of sections, and their blocks as the template takes them.

    Arguments:
        sections: of the page.
        budget: values of all charts together.
        markup: says that a text is HTML already.
    """
    charts = _Charts(markup, *_shares(sections, budget))
    return [(section.title, _parts(section.blocks, charts)) for section in sections]


def _shares(sections: tuple[Section, ...], budget: int) -> tuple[int, int]:
    """Values that a chart may show that is seen at once, and one that is folded away."""
    seen = sum(isinstance(block, get_args(Chart)) for section in sections for block in section.blocks)
    all_ = sum(_count(section.blocks) for section in sections)
    first = min(_SEEN, budget // 2 // max(1, seen))
    return max(_LEAST, first), max(_LEAST, (budget - first * seen) // max(1, all_ - seen))


def _count(blocks: tuple[Block, ...]) -> int:
    return sum(
        _count(block.blocks) if isinstance(block, Group) else isinstance(block, get_args(Chart))
        for block in blocks
    )


@dataclass(frozen=True, slots=True)
class _Part:
    """A block as the template takes it: its kind, and what that kind needs."""

    kind: str
    content: Any


def _parts(blocks: tuple[Block, ...], charts: "_Charts", *, folded: bool = False) -> list[_Part]:
    """Blocks in their order; neighbouring charts stand in one grid."""
    parts = []
    for is_chart, run in groupby(blocks, lambda block: isinstance(block, get_args(Chart))):
        if is_chart:
            parts.append(_Part("charts", [charts.shown(block, folded) for block in run]))
            continue
        for block in run:
            if isinstance(block, Group):
                parts.append(_Part("group", (block, _parts(block.blocks, charts, folded=True))))
            elif isinstance(block, Table):
                parts.append(_Part("table", _table(block)))
            elif isinstance(block, Picture):
                parts.append(_Part("picture", (block, _address(block.svg))))
            else:
                parts.append(_Part(type(block).__name__.lower(), block))
    return parts


def _address(svg: str) -> str:
    """The drawing as the address of an image."""
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode(errors='replace')).decode()}"


def _table(table: Table) -> dict[str, Any]:
    numeric = [
        all(isinstance(row[at], int | float | Quantity | None) for row in table.rows) and bool(table.rows)
        for at in range(len(table.columns))
    ]
    left = len(table.rows) - _ROWS
    note = f"{left:,} more rows are not shown." if left > 0 else ""
    return {
        "caption": table.caption,
        "columns": list(zip(table.columns, [False, *numeric[1:]], strict=True)),
        "rows": [[_cell(cell) for cell in row] for row in table.rows[:_ROWS]],
        "note": f"{table.note} {note}".strip(),
    }


def _cell(cell: Cell) -> tuple[str, str | None]:
    """Text, and the number it is sorted by (empty for a missing one, None for words)."""
    if isinstance(cell, str):
        return cell, None
    value = cell.number if isinstance(cell, Quantity) else cell
    number = finite(value)
    text = cell.text if isinstance(cell, Quantity) else shown_number(cell)
    return text, "" if number is None else repr(number)


def _not_drawn(chart: LineChart) -> str:
    """How many values a logarithmic axis has no place for."""
    count = sum(
        value <= 0
        for line in chart.lines
        for value in map(finite, line.values)
        if chart.y_log and value is not None
    )
    values = "1 value of 0 or less is" if count == 1 else f"{count:,} values of 0 or less are"
    return f"{values} not drawn: the axis is logarithmic." if count else ""


class _Charts:
    """Draws charts, and numbers them for the names on the page."""

    def __init__(self, markup: Any, seen: int, folded: int) -> None:
        self._markup, self._seen, self._folded, self._numbers = markup, seen, folded, counted(1)

    def shown(self, block: Any, folded: bool) -> dict[str, Any]:
        name = f"chart-{next(self._numbers)}"
        budget = self._folded if folded else self._seen
        if isinstance(block, LineChart):
            chart, note = thinned_lines(block, budget)
            note = " ".join(filter(None, (note, _not_drawn(block))))
            svg, kind, series, y_label = draw_lines(chart, name), "lines", chart.lines, chart.y_label
            header = chart.x_label
            rows = _columns(chart.x, [line.values for line in chart.lines])
        elif isinstance(block, BarChart):
            more = len(block.names) - MOST_BARS
            chart, note = (
                block,
                f"The first {MOST_BARS} of {len(block.names):,} are drawn." if more > 0 else "",
            )
            svg, kind, series, y_label = draw_bars(chart, name), "bars", chart.bars, ""
            header = chart.label
            rows = [
                (label, [data_number(bar.values[at]) for bar in chart.bars])
                for at, label in enumerate(chart.names)
            ]
        else:
            assert isinstance(block, HeatMap)
            chart, note = thinned_heat_map(block, _CELLS * budget)
            svg, kind, series, y_label = draw_heat(chart, name), "heat", (), ""
            header = f"{chart.row_label} \\ {chart.column_label}"
            rows = [
                (label, [data_number(value) for value in values])
                for label, values in zip(chart.rows, chart.values, strict=True)
            ]
        return {
            "name": name,
            "kind": kind,
            "marked": marker_class(chart) if isinstance(chart, LineChart) else "",
            "title": chart.title,
            "description": chart.description,
            "svg": self._markup(svg),
            "y_label": y_label,
            "value_label": chart.value_label if isinstance(chart, HeatMap) else "",
            "legend": [(at % 7, line.name) for at, line in enumerate(series)] if len(series) > 1 else [],
            "marks": [
                (None if mark.line is None else mark.line % 7, mark.label)
                for mark in (chart.marks if isinstance(chart, LineChart) else ())
            ],
            "note": note,
            "header": header,
            "columns": [line.name for line in series]
            if series
            else [data_number(place) for place in chart.columns]
            if isinstance(chart, HeatMap)
            else [],
            "rows": rows,
        }


def _columns(x: Sequence[float], lines: list[Sequence[float | None]]) -> Iterator[tuple[str, list[str]]]:
    for at, place in enumerate(x):
        yield data_number(place), [data_number(values[at]) for values in lines]
