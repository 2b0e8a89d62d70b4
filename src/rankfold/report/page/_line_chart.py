"""Lines over common places, drawn."""

from collections.abc import Iterator

from rankfold._display import (
    AXIS_NAME,
    element,
    finite,
    number,
    path,
    shortened,
    tick_number,
    visible,
    written,
)
from rankfold.report.page._axis import Axis, axis_over
from rankfold.report.page._blocks import LineChart

__all__ = ["draw_lines", "marker_class"]

# Pixels. Small, so that letters stay readable where the page is 320 pixels wide; wide pages set several side by side.
WIDTH, HEIGHT = 360, 230
LEFT, RIGHT, TOP, BOTTOM = 46, 346, 12, 190
_MARKED = 40  # points up to which each has a marker
_APART = 46  # between numbers below the axis


def draw_lines(chart: LineChart, name: str) -> str:
    """The chart as SVG.

    Arguments:
        chart: thinned already.
        name: of its title and description on the page.
    """
    across = axis_over([*chart.x, *(mark.x for mark in chart.marks)], log=chart.x_log)
    up = axis_over((value for line in chart.lines for value in line.values), log=chart.y_log)
    if chart.points:
        across, up = across.with_room(), up.with_room()
    body = [*_frame(chart, across, up), *_marks(chart, across), *_lines(chart, across, up)]
    domain = " ".join(f"{end:.17g}" for end in (across.low, across.high, up.low, up.high))
    attributes = {"data_domain": domain}
    if chart.x_log or chart.y_log:
        attributes["data_log"] = f"{'x' * chart.x_log}{'y' * chart.y_log}"
    if chart.steps:
        attributes["data_steps"] = "y"
    return element(
        "svg",
        f'<title id="{name}-title">{written(chart.title)}</title>'
        f'<desc id="{name}-desc">{written(chart.description)}</desc>' + "".join(body),
        viewBox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        aria_labelledby=f"{name}-title",
        aria_describedby=f"{name}-desc",
        **attributes,
    )


def marker_class(chart: LineChart) -> str:
    """Class of the markers in the style sheet: large ones of values that stand alone, and none where there are many."""
    if chart.points:
        return "p"
    return "m" if len(chart.x) <= _MARKED and not chart.steps else ""


def _place(axis: Axis, value: float, start: float, end: float) -> float:
    return start + axis.at(value) * (end - start)


def _frame(chart: LineChart, across: Axis, up: Axis) -> Iterator[str]:
    """Grid, numbers and names of the axes; those of the first are redrawn when the reader zooms."""
    rows, grid = [], ""
    for tick in up.ticks():
        y = _place(up, tick, BOTTOM, TOP)
        grid += f"M{LEFT} {number(y)}H{RIGHT}"
        rows.append(element("text", tick_number(tick), class_="tick end", x=LEFT - 5, y=y + 3.5))
    yield f'<g class="y"><path class="grid" d="{grid}"/>{"".join(rows)}</g>'
    columns, last = [], -1e9
    for tick in across.ticks():
        x = _place(across, tick, LEFT, RIGHT)
        if x - last >= _APART:
            columns.append(element("text", tick_number(tick), class_="tick middle", x=x, y=BOTTOM + 15))
            last = x
    yield f'<g class="x">{"".join(columns)}</g>'
    yield f'<path class="axis" d="M{LEFT} {TOP}V{BOTTOM}H{RIGHT}"/>'
    yield element(
        "text",
        written(shortened(visible(chart.x_label), AXIS_NAME)),
        class_="label middle",
        x=(LEFT + RIGHT) / 2,
        y=BOTTOM + 33,
    )


def _marks(chart: LineChart, across: Axis) -> Iterator[str]:
    for mark in chart.marks:
        x = number(_place(across, mark.x, LEFT, RIGHT))
        kind = "mark" if mark.line is None else f"mark s{mark.line % 7}"
        yield (
            f'<path class="{kind}" data-x="{mark.x:.17g}" d="M{x} {TOP}V{BOTTOM}"><title>{written(mark.label)}'
            "</title></path>"
        )


def _lines(chart: LineChart, across: Axis, up: Axis) -> Iterator[str]:
    marked = f" {marker_class(chart)}".rstrip()
    for place, line in enumerate(chart.lines):
        points = []
        for x, value in zip(chart.x, line.values, strict=True):
            y = finite(value)
            hidden = y is None or (chart.y_log and y <= 0)
            points.append(
                None if hidden or y is None else (_place(across, x, LEFT, RIGHT), _place(up, y, BOTTOM, TOP))
            )
        yield f'<path class="line s{place % 7}{marked}" d="{path(points, steps=chart.steps)}"/>'
