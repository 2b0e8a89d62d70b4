"""Drawings: finite, inside their frames, true to the numbers."""

import re
from math import isfinite

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.report.page.pages import parsed

from rankfold._display import data_number, finite, path, shown_number, tick_number
from rankfold._errors import ShapeError
from rankfold.report.page import BarChart, HeatMap, Line, LineChart, Mark
from rankfold.report.page._axis import axis_over
from rankfold.report.page._bar_chart import draw_bars
from rankfold.report.page._colours import DARK, LIGHT
from rankfold.report.page._heat_map import draw_heat
from rankfold.report.page._line_chart import BOTTOM, LEFT, RIGHT, TOP, WIDTH, draw_lines

VALUE = st.one_of(st.none(), st.floats(), st.integers(-(10**400), 10**400))
NUMBER = r"-?(?:\d+\.?\d*|\.\d+)"


def chart(x, *lines, **options):
    return LineChart(
        title="t",
        description="d",
        x_label="x",
        y_label="y",
        x=tuple(x),
        lines=tuple(Line(f"line {at}", tuple(values)) for at, values in enumerate(lines)),
        **options,
    )


def numbers(drawing):
    for node in parsed(drawing).all():
        for name in ("d", "x", "y", "width", "height"):
            words = node.get(name) or ""
            assert re.fullmatch(rf"(?:[MLHVhvzZ]|{NUMBER}| )*", words), words
            yield from map(float, re.findall(NUMBER, words))


@given(st.lists(st.tuples(st.floats(-1e300, 1e300), VALUE), max_size=30), st.booleans(), st.booleans())
def test_lines_are_finite_and_inside(rows, log, steps):
    rows.sort(key=lambda row: row[0])
    drawing = draw_lines(
        chart([row[0] for row in rows], [row[1] for row in rows], y_log=log, steps=steps), "a"
    )
    assert not re.search(r"nan|inf|None", re.sub(r'data-domain="[^"]*"', "", drawing), re.IGNORECASE)
    assert all(isfinite(value) for value in numbers(drawing))
    (line,) = (node for node in parsed(drawing).all("path") if "line" in (node.get("class") or "").split())
    for x, y in re.findall(rf"[ML]({NUMBER}) ({NUMBER})", line.get("d")):
        assert LEFT - 0.1 <= float(x) <= RIGHT + 0.1
        assert TOP - 0.1 <= float(y) <= BOTTOM + 0.1


@given(st.lists(VALUE, max_size=12))
def test_bars_and_maps_are_finite(values):
    names = tuple(str(at) for at in range(len(values)))
    bars = draw_bars(
        BarChart(
            title="t",
            description="d",
            label="l",
            value_label="v",
            names=names,
            bars=(Line("a", tuple(values)),),
        ),
        "a",
    )
    heat = draw_heat(
        HeatMap(
            title="t",
            description="d",
            row_label="r",
            column_label="c",
            value_label="v",
            rows=("a",),
            columns=tuple(range(len(values))),
            values=(tuple(values),),
        ),
        "a",
    )
    for drawing in (bars, heat):
        assert all(0 <= abs(value) < 2000 for value in numbers(drawing))
        assert not re.search(r"\bnan\b|\binf\b|None", drawing)


def test_a_line_stands_where_its_numbers_are():
    drawing = draw_lines(chart([0.0, 1.0, 2.0, 3.0], [0.0, 10.0, None, 5.0], marks=(Mark(2.0, "cut"),)), "a")
    middle, width = (TOP + BOTTOM) / 2, RIGHT - LEFT
    first = LEFT + width / 3
    line = next(node for node in parsed(drawing).all("path") if "line" in (node.get("class") or ""))
    assert line.get("d") == f"M{LEFT} {BOTTOM}L{first:g} {TOP}M{RIGHT} {middle:g}h1.6"
    mark = next(node for node in parsed(drawing).all("path") if node.get("data-x"))
    assert mark.get("d") == f"M{LEFT + width * 2 / 3:g} {TOP}V{BOTTOM}"
    assert mark.text == "cut"


def test_steps_hold_until_the_next():
    assert path([(0, 5), (10, 3)], steps=True) == "M0 5H10V3"


def test_zero_has_no_place_on_a_logarithmic_axis():
    drawing = draw_lines(chart([0.0, 1.0, 2.0], [1.0, 0.0, 0.1], y_log=True), "a")
    line = next(node for node in parsed(drawing).all("path") if "line" in (node.get("class") or ""))
    assert line.get("d").count("M") == 2


def test_equal_ratios_are_equally_far_apart_on_a_logarithmic_axis():
    drawing = draw_lines(
        chart([0.001, 0.01, 0.1, 1.0], [0.0, 1.0, 2.0, 3.0], x_log=True, marks=(Mark(0.1, "here"),)), "a"
    )
    tree = parsed(drawing)
    assert tree.one("svg").get("data-log") == "x"
    line = next(node for node in tree.all("path") if "line" in (node.get("class") or ""))
    places = [float(x) for x in re.findall(rf"[ML]({NUMBER}) ", line.get("d"))]
    assert places == pytest.approx([LEFT + (RIGHT - LEFT) * third / 3 for third in range(4)])
    mark = next(node for node in tree.all("path") if node.get("data-x"))
    assert mark.get("d") == f"M{places[2]:g} {TOP}V{BOTTOM}"
    ticks = [node.text for node in tree.all("text") if node.get("class") == "tick middle"]
    assert ticks == ["0.001", "0.01", "0.1", "1"]


@pytest.mark.parametrize("x", [[0.0, 1.0], [-1.0, 1.0]])
def test_a_logarithmic_axis_takes_no_zero(x):
    with pytest.raises(ShapeError, match="no logarithmic axis"):
        chart(x, [1.0, 2.0], x_log=True)
    with pytest.raises(ShapeError, match="no logarithmic axis"):
        chart([1.0, 2.0], [1.0, 2.0], x_log=True, marks=(Mark(x[0], "here"),))


@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1), st.booleans(), st.booleans())
def test_axes_hold_their_values_and_ticks(values, log, zero):
    axis = axis_over(values, log=log, zero=zero)
    assert axis.low < axis.high
    inside = [value for value in values if value > 0 or not log]
    assert all(-1e-9 <= axis.at(value) <= 1 + 1e-9 for value in inside)
    ticks = axis.ticks()
    assert 1 <= len(ticks) <= 12
    assert all(-1e-6 <= axis.at(tick) <= 1 + 1e-6 for tick in ticks)


@pytest.mark.parametrize(
    ("low", "high", "log", "ticks"),
    [
        (0.0, 1.0, False, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.53, 0.97, False, [0.6, 0.7, 0.8, 0.9]),
        (1.0, 12.0, False, [5.0, 10.0]),
        (0.07, 1.5, True, [0.1, 0.2, 0.5, 1.0]),
        (1e-6, 1.0, True, [1e-6, 1e-4, 1e-2, 1.0]),
    ],
)
def test_ticks_are_round(low, high, log, ticks):
    assert axis_over([low, high], log=log).ticks() == pytest.approx(ticks, rel=1e-12)


def test_numbers():
    assert [
        shown_number(value) for value in (None, 5, 1234567, 33491.2, 0.0, 0.12345, 1e-7, float("inf"))
    ] == [
        "-",
        "5",
        "1,234,567",
        "33,491",
        "0",
        "0.1235",
        "1e-7",
        "-",
    ]
    assert [data_number(value) for value in (None, 5, 2.0, 1 / 3, 10**400)] == ["", "5", "2", "0.333333", ""]
    assert [tick_number(value) for value in (0.0, 0.25, 2000.0, 1e4, 4.5e6, 2.5e16, -1e-4)] == [
        "0",
        "0.25",
        "2000",
        "10k",
        "4.5M",
        "2.5e16",
        "-1e-4",
    ]
    assert finite(True) is None


def luminance(colour):
    """Web Content Accessibility Guidelines 2.2, relative luminance."""
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(one, two):
    low, high = sorted((luminance(one), luminance(two)))
    return (high + 0.05) / (low + 0.05)


def test_lines_stand_out():
    assert all(contrast(colour, "#15181c") >= 4.5 for colour in DARK)
    # Orange and sky blue of Okabe and Ito are faint on white; they come fifth and sixth, with markers and dashes.
    assert all(contrast(colour, "#ffffff") >= 3 for at, colour in enumerate(LIGHT) if at not in (4, 5))
    assert len(set(LIGHT)) == len(set(DARK)) == 7


def test_the_script_draws_in_the_same_frame():
    from importlib.resources import files

    script = (files("rankfold.report.page") / "templates" / "page.js").read_text()
    frame = f"LEFT = {LEFT}, RIGHT = {RIGHT}, TOP = {TOP}, BOTTOM = {BOTTOM}, WIDTH = {WIDTH}"
    assert frame in script


def test_numbers_that_do_not_belong_together():
    with pytest.raises(ShapeError, match="3 places and 2 values"):
        chart([1.0, 2.0, 3.0], [1.0, 2.0])
    with pytest.raises(ShapeError, match="fall somewhere"):
        chart([2.0, 1.0], [1.0, 2.0])
