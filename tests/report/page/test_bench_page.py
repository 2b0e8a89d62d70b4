"""What the page of a timed layer says."""

import pytest
from tests.report.page.pages import HOSTILE, bench_record, parsed, shape

from rankfold._display import visible
from rankfold.report.page import BarChart, Code, LineChart, Table, bench_page, render_page


def blocks(page, kind):
    return [block for section in page.sections for block in section.blocks if isinstance(block, kind)]


def items(page):
    return [node.text for node in parsed(render_page(page)).all("li")]


def test_headline():
    page = bench_page([bench_record()], ["layer.json"])
    assert (page.title, page.subtitle) == ("Linear 8 to 8", "Linear 8 to 8, input 4x8, forward, 1 thread")
    assert {fact.name: (fact.value, fact.note) for fact in page.facts} == {
        "dense": ("2.000 ms", "a batch of 4"),
        "break-even rank": ("4", "Below rank 4 low rank is faster here."),
        "best speed-up": ("4.00x", "at rank 2, where FLOPs are 2.00 times fewer"),
    }


def test_times_and_speedups_are_drawn_over_the_rank():
    time, speedup = blocks(bench_page([bench_record()], ["layer.json"]), LineChart)
    assert tuple(time.x) == tuple(speedup.x) == (2.0, 4.0, 6.0)
    assert {line.name: line.values for line in time.lines} == {
        "layer": pytest.approx((1.0, 2.0, 3.0)),
        "folded": pytest.approx((0.5, 1.8, 2.5)),
        "dense": pytest.approx((2.0, 2.0, 2.0)),
    }
    assert {line.name: line.values for line in speedup.lines} == {
        "low rank": (4.0, 1.1, 0.5),
        "dense": (1.0, 1.0, 1.0),
    }
    assert time.marks == speedup.marks
    assert [(mark.x, mark.label) for mark in time.marks] == [(4.0, "break-even at rank 4")]


def test_without_a_break_even_rank_there_is_no_mark():
    page = bench_page([bench_record(speedups=(3.0, 2.0, 1.5))], ["layer.json"])
    assert all(chart.marks == () for chart in blocks(page, LineChart))
    assert page.facts[1].value == "none"
    assert "every rank tried" in page.facts[1].note


def test_the_table_begins_with_the_dense_layer():
    table = blocks(bench_page([bench_record()], ["layer.json"]), Table)[0]
    shown = [[cell.text if hasattr(cell, "text") else cell for cell in row] for row in table.rows]
    assert shown[0] == ["dense", "2.000", None, None, "1.00x"]
    assert shown[1] == [2, "1.000", "0.500", "2.00x", "4.00x"]


@pytest.mark.parametrize(
    ("speedups", "training", "words"),
    [
        ((4.0, 1.1, 0.5), False, "a rank of 4 or less; at 4 it is 1.10 times as fast as dense"),
        ((4.0, 1.1, 0.5), False, "at rank 2 that takes 0.500 ms instead of 1.000 ms"),
        (
            (0.9, 0.8, 0.7),
            False,
            "one dense: name it in exclude of rankfold.factorize. Ranks below 2 were not tried.",
        ),
        ((4.0, 0.5, 1.5), False, "a rank of 2, 6, or leave it dense"),
        ((4.0, 1.1, 0.5), True, "a rank of 4 or less"),
    ],
)
def test_advice(speedups, training, words):
    found = items(bench_page([bench_record(speedups=speedups, training=training)], ["layer.json"]))
    assert any(words in item for item in found)
    assert any("rankfold.fold(" in item for item in found) == (speedups[0] > 1 and not training)


@pytest.mark.parametrize(
    ("training", "command"),
    [
        (False, "rankfold bench-layer linear 8 8 --batch 4 --training --json 'my layers/a-training.json'"),
        (True, "rankfold bench-layer linear 8 8 --batch 4 --json 'my layers/a-forward.json'"),
    ],
)
def test_the_other_way_to_time_it_is_a_command(training, command):
    page = bench_page([bench_record(training=training)], ["'my layers/a.json'"])
    first, second = blocks(page, Code)
    assert first.text.splitlines()[0] == command
    assert first.text.splitlines()[1].startswith("rankfold report 'my layers/a.json' 'my layers/a-")
    flag = " --training" if training else ""
    assert second.text == f"rankfold bench-layer linear 8 8 --batch 4{flag} --json 'my layers/a.json'"


def test_side_by_side():
    other = bench_record("b.json", speedups=(3.0, 2.0, 1.5), ranks=(2, 3, 6), threads=2)
    page = bench_page([bench_record("a.json"), other], ["a.json", "b.json"])
    assert page.title == "Linear 8 to 8, timed 2 times"
    assert page.facts == ()
    tables = {table.caption: table for table in blocks(page, Table)}
    runs = tables["Measurements side by side"].rows
    assert [(row[0], row[1].text, row[2], row[3].text, row[4]) for row in runs] == [
        ("a.json", "2.000", 4, "4.00x", 2),
        ("b.json", "2.000", None, "3.00x", 2),
    ]
    speedups = tables["Speed-up at each rank"]
    assert speedups.columns == ("rank", "a.json", "b.json")
    assert [
        (row[0], *(None if cell is None else cell.text for cell in row[1:])) for row in speedups.rows
    ] == [
        (2, "4.00x", "3.00x"),
        (3, None, "2.00x"),
        (4, "1.10x", None),
        (6, "0.50x", "1.50x"),
    ]
    assert [chart.title for chart in blocks(page, LineChart)] == [
        "Time at each rank, a.json",
        "Time at each rank, b.json",
        "Speed-up at each rank, a.json",
        "Speed-up at each rank, b.json",
    ]
    assert tables["Settings in which they differ"].rows == (("threads", "1", "2"),)
    assert "a.json: Below rank 4 low rank is faster here." in items(page)
    assert blocks(page, BarChart) == []


def test_different_layers_and_versions():
    other = bench_record(
        "b.json", title="Conv2d 3x3 8 to 8, input 4x8x9x9, forward, 1 thread", versions={"torch": "3"}
    )
    page = bench_page([bench_record("a.json"), other], ["a.json", "b.json"])
    assert page.title == "Layers, timed 2 times"
    assert {"a.json: torch 2", "b.json: torch 3"} <= set(items(page))


@pytest.mark.parametrize("word", HOSTILE)
def test_hostile_words_are_text(word):
    def tree_of(name):
        record = bench_record(name, title=f"{name}, forward", versions={"torch": name}, device=name)
        return parsed(render_page(bench_page([record], ["a.json"])))

    def tags(nodes):
        return [(tag, tags(inside)) for tag, _, inside in nodes]

    tree = tree_of(word)
    assert tags(shape(tree)) == tags(shape(tree_of("plain")))
    assert tree.one("header").one("p").text == visible(f"{word}, forward")
