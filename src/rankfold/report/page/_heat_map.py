"""Numbers as colours, drawn."""

from rankfold._display import (
    AXIS_NAME,
    element,
    finite,
    number,
    shortened,
    shown_number,
    tick_number,
    visible,
    written,
)
from rankfold.report.page._axis import Axis, axis_over
from rankfold.report.page._blocks import HeatMap
from rankfold.report.page._colours import HEAT, heat_colour

__all__ = ["draw_heat"]

_WIDTH = 360
_LEFT, _RIGHT, _TOP = 96, 352, 22
_NAME = 14
_LEAST_NAMED = 9  # pixels per row below which not every row is named
_HEIGHT = 320  # pixels of many rows together


def draw_heat(chart: HeatMap, name: str) -> str:
    """The map as SVG: one path per colour, so that thousands of cells stay small.

    Arguments:
        chart: thinned already.
        name: of its title and description on the page.
    """
    rows, columns = len(chart.rows), max(len(chart.columns), 1)
    high = min(16.0, max(_HEIGHT / max(rows, 1), 3.0))
    wide = (_RIGHT - _LEFT) / columns
    axis = axis_over(value for row in chart.values for value in row)
    bottom = _TOP + high * rows
    body = [_key(axis)]
    every = max(1, round(_LEAST_NAMED / high + 0.49))
    for place in range(0, rows, every):
        label = written(shortened(visible(chart.rows[place]), _NAME))
        body.append(
            element("text", label, class_="tick end", x=_LEFT - 4, y=_TOP + high * (place + 0.5) + 3.5)
        )
    for step, shape in sorted(_cells(chart, axis, wide, high).items()):
        body.append(f'<path fill="{heat_colour(step)}" d="{shape}"/>')
    for place in {0, columns // 2, columns - 1} if chart.columns else ():
        x = _LEFT + wide * (place + 0.5)
        body.append(
            element(
                "text", tick_number(chart.columns[place]), class_="tick middle", x=min(x, 340), y=bottom + 13
            )
        )
    middle = (_LEFT + _RIGHT) / 2
    body.append(
        element(
            "text",
            written(shortened(visible(chart.column_label), AXIS_NAME)),
            class_="label middle",
            x=middle,
            y=bottom + 29,
        )
    )
    return element(
        "svg",
        f'<title id="{name}-title">{written(chart.title)}</title>'
        f'<desc id="{name}-desc">{written(chart.description)}</desc>' + "".join(body),
        viewBox=f"0 0 {_WIDTH} {number(bottom + 36)}",
        role="img",
        aria_labelledby=f"{name}-title",
        aria_describedby=f"{name}-desc",
        data_cells=f"{_LEFT} {_TOP} {wide:.6g} {high:.6g}",
    )


def _cells(chart: HeatMap, axis: Axis, wide: float, high: float) -> dict[int, str]:
    """For each colour the rectangles that have it; neighbours in a row are one."""
    shapes: dict[int, list[str]] = {}
    for row, values in enumerate(chart.values):
        steps = [_step(value, axis) for value in values]
        start = 0
        for place in range(1, len(steps) + 1):
            if place < len(steps) and steps[place] == steps[start]:
                continue
            step = steps[start]
            if step is not None:
                x, y, width = _LEFT + wide * start, _TOP + high * row, wide * (place - start)
                shapes.setdefault(step, []).append(
                    f"M{number(x)} {number(y)}h{number(width)}v{number(high)}h{number(-width)}z"
                )
            start = place
    return {step: "".join(parts) for step, parts in shapes.items()}


def _step(value: float | None, axis: Axis) -> int | None:
    shown = finite(value)
    return None if shown is None else min(HEAT - 1, max(0, int(axis.at(shown) * HEAT)))


def _key(axis: Axis) -> str:
    """What the colours mean, above the map."""
    width = 120 / HEAT
    steps = [
        f'<path fill="{heat_colour(step)}" d="M{number(_LEFT + width * step)} 4h{number(width + 0.2)}v8h'
        f'{number(-width - 0.2)}z"/>'
        for step in range(HEAT)
    ]
    low = element("text", shown_number(axis.low), class_="tick end", x=_LEFT - 4, y=12.0)
    high = element("text", shown_number(axis.high), class_="tick", x=_LEFT + 126.0, y=12.0)
    return "".join((low, *steps, high))
