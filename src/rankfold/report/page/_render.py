"""From a page as data to one HTML file."""

import base64
import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import count, groupby
from pathlib import Path
from typing import Any, get_args

from rankfold._checkpoint import atomic_path
from rankfold.report.page._bar_chart import MOST_BARS, draw_bars
from rankfold.report.page._blocks import (
    BarChart,
    Block,
    Cell,
    Chart,
    Group,
    HeatMap,
    LineChart,
    Page,
    Quantity,
    Section,
    Table,
)
from rankfold.report.page._colours import DARK, DASHES, LIGHT
from rankfold.report.page._heat_map import draw_heat
from rankfold.report.page._line_chart import draw_lines, has_markers
from rankfold.report.page._numbers import data_number, finite, shown_number
from rankfold.report.page._thin import RULE, thinned_heat_map, thinned_lines
from rankfold.report.page._words import visible

__all__ = ["MISSING", "render_page", "write_page"]

#: The sentence where jinja2 is not installed.
MISSING = "no page: jinja2 is not installed; pip install 'rankfold[cli]'."

# Values of all charts of a page together; some 20 bytes each on the page, drawn and in the table of the data.
_BUDGET = 36_000
_SEEN = 3000  # values of a chart that is not folded away, more than it has pixels across
_LEAST = 60  # values that a chart has in any case
_WORD = 24  # letters of a word in a table that may stand in one line
_ROWS = 2000  # of a table; what is left out is counted below it


def write_page(page: Page, path: Path) -> str | None:
    """Write a page; the file is complete under its name or not there at all.

    Arguments:
        page: any.
        path: of the file, overwritten if it exists.

    Returns:
        None, or the sentence that jinja2 is missing and nothing was written.

    Raises:
        CheckpointError: the file cannot be written.
    """
    try:
        text = render_page(page)
    except ImportError:
        return MISSING
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return None


def render_page(page: Page) -> str:
    """The page as HTML that needs no other file and no network.

    Arguments:
        page: any; equal pages give equal text.

    Returns:
        HTML; long series are thinned, all names escaped.

    Raises:
        ImportError: jinja2 is not installed.

    Example:
        >>> render_page(Page(title="<b>", subtitle="")).count("<title>&lt;b&gt;</title>")
        1
    """
    from markupsafe import Markup

    template, style, script = _template()
    charts = _Charts(Markup, *_shares(page.sections))
    return template.render(
        page=page,
        sections=[(section.title, _parts(section.blocks, charts)) for section in page.sections],
        rule=RULE,
        style=Markup(style),
        script=Markup(script),
        style_digest=_digest(style),
        script_digest=_digest(script),
    )


@cache
def _template() -> tuple[Any, str, str]:
    """The compiled template, the style sheet and the script."""
    from jinja2 import DictLoader, Environment, StrictUndefined
    from markupsafe import Markup

    sources = files("rankfold.report.page") / "templates"
    style, script, template = (
        (sources / name).read_text(encoding="utf-8") for name in ("page.css", "page.js", "page.html.jinja")
    )
    environment = Environment(
        loader=DictLoader({"page": template}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: visible(value) if type(value) is str else value,
    )
    # Words that do not break would push their column wide; short ones should never break.
    environment.filters["long"] = lambda text: Markup(' class="long"') if _is_long(text) else ""
    return environment.get_template("page"), _colours() + style, script


def _is_long(text: str) -> bool:
    return len(text) > 2 * _WORD or any(len(word) > _WORD for word in text.split())


def _colours() -> str:
    """The colours of lines as variables of the style sheet, light and dark."""
    names = ["".join(f"--c{at}:{colour};" for at, colour in enumerate(side)) for side in (LIGHT, DARK)]
    dashes = "".join(f".s{at}{{--c:var(--c{at});--d:{dash or 'none'}}}" for at, dash in enumerate(DASHES))
    return f":root{{{names[0]}}}@media(prefers-color-scheme:dark){{:root{{{names[1]}}}}}{dashes}"


def _digest(text: str) -> str:
    """What the page's policy knows its own script and style by, so that no others run."""
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _shares(sections: tuple[Section, ...]) -> tuple[int, int]:
    """Values that a chart may show that is seen at once, and one that is folded away."""
    seen = sum(isinstance(block, get_args(Chart)) for section in sections for block in section.blocks)
    all_ = sum(_count(section.blocks) for section in sections)
    first = min(_SEEN, _BUDGET // 2 // max(1, seen))
    return max(_LEAST, first), max(_LEAST, (_BUDGET - first * seen) // max(1, all_ - seen))


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
            else:
                parts.append(_Part(type(block).__name__.lower(), block))
    return parts


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


class _Charts:
    """Draws charts, and numbers them for the names on the page."""

    def __init__(self, markup: Any, seen: int, folded: int) -> None:
        self._markup, self._seen, self._folded, self._numbers = markup, seen, folded, count(1)

    def shown(self, block: Any, folded: bool) -> dict[str, Any]:
        name = f"chart-{next(self._numbers)}"
        budget = self._folded if folded else self._seen
        if isinstance(block, LineChart):
            chart, note = thinned_lines(block, budget)
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
            chart, note = thinned_heat_map(block, budget)
            svg, kind, series, y_label = draw_heat(chart, name), "heat", (), ""
            header = f"{chart.row_label} \\ {chart.column_label}"
            rows = [
                (label, [data_number(value) for value in values])
                for label, values in zip(chart.rows, chart.values, strict=True)
            ]
        return {
            "name": name,
            "kind": kind,
            "marked": isinstance(chart, LineChart) and has_markers(chart),
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
