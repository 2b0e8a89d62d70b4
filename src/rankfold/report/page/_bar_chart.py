"""Horizontal bars, drawn."""

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
from rankfold.report.page._axis import axis_over
from rankfold.report.page._blocks import BarChart

__all__ = ["MOST_BARS", "draw_bars"]

MOST_BARS = 24  # groups that are drawn, about a screen; the table has all
_WIDTH = 360
_LEFT, _RIGHT = 112, 342
_BAR, _GAP, _TOP = 9, 9, 8
_NAME = 17  # letters of a name that fit beside its bars


def draw_bars(chart: BarChart, name: str) -> str:
    """The first groups of the chart as SVG.

    Arguments:
        chart: any.
        name: of its title and description on the page.
    """
    groups = min(len(chart.names), MOST_BARS)
    axis = axis_over((value for bar in chart.bars for value in bar.values[:groups]), zero=True)
    group = _BAR * len(chart.bars) + _GAP
    bottom = _TOP + group * groups
    zero = _LEFT + axis.at(0.0) * (_RIGHT - _LEFT)
    body = []
    last = -1e9
    for tick in axis.ticks():
        x = _LEFT + axis.at(tick) * (_RIGHT - _LEFT)
        if x - last >= 44:
            body.append(f'<path class="grid" d="M{number(x)} {_TOP}V{bottom}"/>')
            body.append(element("text", tick_number(tick), class_="tick middle", x=x, y=bottom + 14))
            last = x
    for place in range(groups):
        y = _TOP + place * group + _GAP / 2
        label = written(shortened(visible(chart.names[place]), _NAME))
        body.append(
            element("text", label, class_="tick end", x=_LEFT - 6, y=y + _BAR * len(chart.bars) / 2 + 3.5)
        )
        for number_, bar in enumerate(chart.bars):
            value = finite(bar.values[place])
            if value is None:
                continue
            x = _LEFT + axis.at(value) * (_RIGHT - _LEFT)
            body.append(
                f'<rect class="bar s{number_ % 7}" x="{number(min(x, zero))}" y="{number(y + _BAR * number_)}" '
                f'width="{number(max(abs(x - zero), 1))}" height="{_BAR - 1}"><title>{written(chart.names[place])}: '
                f"{written(bar.name)} {shown_number(value)}</title></rect>"
            )
    body.append(f'<path class="axis" d="M{number(zero)} {_TOP}V{bottom}"/>')
    middle = (_LEFT + _RIGHT) / 2
    body.append(
        element(
            "text",
            written(shortened(visible(chart.value_label), AXIS_NAME)),
            class_="label middle",
            x=middle,
            y=bottom + 32,
        )
    )
    return element(
        "svg",
        f'<title id="{name}-title">{written(chart.title)}</title>'
        f'<desc id="{name}-desc">{written(chart.description)}</desc>' + "".join(body),
        viewBox=f"0 0 {_WIDTH} {bottom + 40}",
        role="img",
        aria_labelledby=f"{name}-title",
        aria_describedby=f"{name}-desc",
        data_rows=f"{_TOP} {group} {groups}",
    )
