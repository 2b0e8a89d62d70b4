"""Long series: the extremes stay, and pages stay small."""

from hypothesis import given
from hypothesis import strategies as st
from tests.report.page.pages import parsed, training_record

from rankfold.report.page import HeatMap, Line, LineChart, render_page, training_page
from rankfold.report.page._thin import RULE, kept_places, thinned_heat_map, thinned_lines

VALUE = st.one_of(st.none(), st.just(float("nan")), st.floats(-1e6, 1e6))


@given(st.lists(st.tuples(VALUE, VALUE), min_size=1, max_size=400), st.integers(8, 60))
def test_first_last_and_extremes_stay(rows, most):
    lines = list(zip(*rows, strict=True))
    places = kept_places(lines, most)
    assert places == sorted(set(places))
    assert {0, len(rows) - 1} <= set(places)
    for line in lines:
        known = [value for value in line if value is not None and value == value]
        kept = [line[at] for at in places if line[at] is not None and line[at] == line[at]]
        if known:
            assert (min(kept), max(kept)) == (min(known), max(known))
    spans = max(1, (most - 2) // 4)
    assert len(places) <= max(most, 2 + 6 * spans)  # per span and line the least, the greatest and one gap


def test_a_spike_and_a_gap_stay():
    values = [0.0] * 5000
    values[1234], values[4000] = 9.0, None
    places = kept_places([values], 50)
    assert len(places) <= 60
    assert {1234, 4000} <= set(places)


def test_a_short_chart_is_left_alone():
    chart = LineChart(
        title="t", description="d", x_label="x", y_label="y", x=(1.0, 2.0), lines=(Line("a", (1.0, 2.0)),)
    )
    assert thinned_lines(chart, 100) == (chart, "")


def test_the_rule_is_told():
    x = tuple(float(at) for at in range(5000))
    chart = LineChart(title="t", description="d", x_label="x", y_label="y", x=x, lines=(Line("a", x),))
    short, note = thinned_lines(chart, 100)
    assert len(short.x) <= 102
    assert f"{len(short.x)} of 5,000 points are drawn" in note


def test_maps_keep_first_and_last_column():
    columns = tuple(float(at) for at in range(300))
    chart = HeatMap(
        title="t",
        description="d",
        row_label="r",
        column_label="c",
        value_label="v",
        rows=("a", "b"),
        columns=columns,
        values=(columns, columns),
    )
    short, note = thinned_heat_map(chart, 80)
    assert (short.columns[0], short.columns[-1]) == (0.0, 299.0)
    assert short.values[0] == short.columns
    assert len(short.columns) == 40
    assert "40 of 300 columns" in note


def test_a_hundred_layers_of_ten_thousand_records_stay_under_two_megabytes():
    run = training_record(layers=100, records=10_000, modes=4, epochs=10_000, full=(512, 512, 3, 3))
    text = render_page(training_page([run], ["run"]))
    assert len(text.encode()) < 2e6
    tree = parsed(text)
    assert RULE in tree.one("footer").text
    assert sum(" of 10,000 points are drawn" in node.text for node in tree.all("p")) >= 3
    assert sum(" of 10,002 points are drawn" in node.text for node in tree.all("p")) == 100


def test_long_names_of_many_layers_take_points_away():
    run = training_record(layers=100, records=500, full=(512, 512), prefix="layer" * 60)
    assert len(render_page(training_page([run], ["run"])).encode()) < 2e6
