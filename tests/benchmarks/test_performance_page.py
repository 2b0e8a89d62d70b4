"""docs/performance.md is what the committed results say."""

import pytest
from benchmarks._compared_figures import compared
from benchmarks._goals import GOALS, goal_number, reached
from benchmarks.performance_page import PAGE, SECTIONS, page, read_results

from rankfold.report import markdown_cell, markdown_table

RECORD = {
    "command": "python -m benchmarks.step",
    "threads": 1,
    "title": "Steps",
    "note": "What was done.",
    "definitions": {"B4 f=1/4": {"measured": 0.5, "target": "<= 0.40", "unit": "x dense step"}},
    "rows": [
        {"side": "dense", "ms": 3.0, "x_dense": 1.0},
        {"side": "TDLRT", "ms": 4.0, "x_dense": 1.3},
        {"side": "TDLRT every 10", "ms": 2.0, "x_dense": 0.7},
        {"side": "published step", "ms": 9.0, "x_dense": 3.0},
        {"layer": "wide", "batch": 1, "dense_ms": 1.0, "speedup_over_dense": 0.9, "speedup_over_peer": None},
    ],
}


def test_the_committed_page_is_that_of_the_committed_results():
    assert PAGE.read_text(encoding="utf-8") == page(read_results()), (
        "run python -m benchmarks.performance_page"
    )


def test_every_loss_of_ours_is_listed_and_no_other():
    assert [(one.row, one.name, one.value) for one in compared(RECORD) if one.lost] == [
        ("side TDLRT", "x dense", 1.3),
        ("layer wide, batch 1", "speedup over dense", 0.9),
    ]
    assert len(list(compared(RECORD))) == 3  # dense and published are other sides, and one figure is missing
    text = page({"step": RECORD})
    assert "| [Steps](#steps) | 0 of 1 | 2 of 3 |" in text
    assert "| layer wide, batch 1 | speedup over dense | 0.9 |" in text


def test_a_page_says_what_is_missing_and_what_is_not_reached():
    text = page({"step": RECORD})
    first, second = text.split("## Steps")
    assert "| B4 f=1/4, TDLRT step | 0.5 | ≤ 0.40 | x dense step | [Steps](#steps) |" in first
    assert "| B4 f=1/4, TDLRT step | 0.5 | ≤ 0.40 | **no** | x dense step |" in second
    reached_too = {"B4 f=1/4": {"measured": 0.3, "target": "<= 0.40", "unit": "x dense step"}}
    better = page({"step": {**RECORD, "definitions": reached_too}})
    assert "are those of the design.\n\nNone." in better
    assert "| B4 f=1/4, TDLRT step | 0.3 | ≤ 0.40 | yes | x dense step |" in better
    for name in SECTIONS:
        assert (f"Not measured yet: `python -m benchmarks.{name}`." in text) == (name != "step")
    assert len(GOALS) == 12


@pytest.mark.parametrize(
    ("measured", "target", "expected"),
    [
        (1.4, "≥ 1.40", True),
        (1.39, ">= 1.40", False),
        (0.4, "<= 0.4", True),
        (2, "≤ 1", False),
        (0, "0", True),
    ],
)
def test_targets_are_read(measured, target, expected):
    assert reached({"measured": measured, "target": target}) is expected


def test_a_target_in_words_is_neither_reached_nor_missed():
    assert reached({"measured": 1.0, "target": "small"}) is None


def test_goals_are_found_by_their_number():
    assert goal_number("B12") == 12
    assert goal_number("B4 f=1/8") == 4
    assert goal_number("Memory VGG") is None


def test_cells_and_tables():
    assert [markdown_cell(v) for v in (None, 1.23456, 12345.6, 0.0, 2.5e-9, True, 7)] == [
        "-",
        "1.235",
        "12346",
        "0",
        "2.5e-09",
        "True",
        "7",
    ]
    assert markdown_table([{"a_b": 1}, {"c": "x|y"}]) == "| a b | c |\n|---|---|\n| 1 | - |\n| - | x\\|y |"
    assert markdown_table([{"|x|": 1}]) == "| \\|x\\| |\n|---|\n| 1 |"
