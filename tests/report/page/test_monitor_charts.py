"""What a monitor saw, drawn."""

from dataclasses import replace

import pytest
from tests.report.page.pages import HOSTILE

from rankfold.diagnostics import LayerState
from rankfold.report.page import HeatMap, LineChart, Page, Section, Text, render_page
from rankfold.report.page._monitor_charts import monitor_blocks

STATE = LayerState(
    step=0, layer="conv", rank=3, stable_rank=1.5, update_rank=0, movement=0.0, curvature=2.0, imbalance=None
)


def states(layers, steps):
    return [replace(STATE, step=step, layer=layer, rank=step + 1) for step in steps for layer in layers]


def test_nothing_seen_is_nothing_drawn():
    assert list(monitor_blocks([])) == []


def test_few_layers_are_lines_and_what_nobody_saw_is_left_out():
    text, *charts = monitor_blocks(states(["a", ""], [0, 5, 9]))
    assert text == Text("2 layers, looked at 3 times, from step 0 to step 9.")
    assert all(isinstance(chart, LineChart) for chart in charts)
    assert [chart.title for chart in charts] == [
        "Rank of what has changed",
        "Rank of the weights",
        "Stable rank",
        "Movement",
        "Curvature of the loss",
    ]
    rank = charts[1]
    assert list(rank.x) == [0, 5, 9]
    assert [(line.name, list(line.values)) for line in rank.lines] == [
        ("a", [1, 6, 10]),
        ("(the network)", [1, 6, 10]),
    ]


def test_many_layers_are_a_map():
    _, *charts = monitor_blocks(states([f"layer{number}" for number in range(8)], [0, 1]))
    assert all(isinstance(chart, HeatMap) for chart in charts)
    assert charts[0].rows == tuple(f"layer{number}" for number in range(8))


def test_a_layer_that_was_not_there_at_first_has_a_gap():
    _, first, *_ = monitor_blocks([STATE, replace(STATE, step=4), replace(STATE, step=4, layer="late")])
    assert [list(line.values) for line in first.lines] == [[0, 0], [None, 0]]


@pytest.mark.parametrize("layers", [HOSTILE[:5], HOSTILE])
@pytest.mark.parametrize("steps", [[3], [0, 2**52]])
def test_hostile_names_and_steps_render(layers, steps):
    blocks = tuple(monitor_blocks(states(layers, steps)))
    html = render_page(Page(title="x", subtitle="y", sections=(Section("z", blocks),)))
    assert html is not None
    assert "<script>document.title" not in html
