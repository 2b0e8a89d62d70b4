"""What the page of a study says."""

import base64
from dataclasses import replace

import pytest
from tests.report.page.pages import HOSTILE, parsed, shape, study_record

from rankfold._display import visible
from rankfold.report.page import Code, Group, LineChart, Picture, Table, render_page, study_page
from rankfold.report.page._study_views import FIGURES


def blocks(page, kind):
    def inside(found):
        for block in found:
            if isinstance(block, kind):
                yield block
            if isinstance(block, Group):
                yield from inside(block.blocks)

    return [block for section in page.sections for block in inside(section.blocks)]


def tables(page):
    return {table.caption: table for table in blocks(page, Table)}


def warnings(page):
    return [node.text for node in parsed(render_page(page)).all("p") if node.get("class") == "warning"]


def test_headline():
    page = study_page([study_record()], ["runs/small"])
    facts = {fact.name: (fact.value, fact.note) for fact in page.facts}
    assert facts == {
        "verdict": ("holds in part", "1 of 3 checks hold, 1 not decided, 1 not part of this size"),
        "cases": ("3 of 6", "quick size, seed 0"),
        "time": ("6.0 s", "of all cases together"),
    }
    assert page.title == "Squares grow plain"
    assert page.subtitle == "Claim: Squares grow plain."
    assert "Euclid 300 BC plain." in parsed(render_page(page)).text


def test_what_did_not_hold_comes_first_and_says_why():
    page = study_page([study_record()], ["runs/small"])
    rows = tables(page)["Checks"].rows
    assert [(row[0], row[1]) for row in rows] == [
        ("no plain", "no"),
        ("nan", "no"),
        ("later", "not decided"),
        ("yes", "yes"),
        ("other", "not part of this size"),
    ]
    assert rows[0] == ("no plain", "no", 1.0, ">= 2", "the square of 1 is 2")
    items = [node.text for node in parsed(render_page(page)).all("li")]
    assert "no plain: the square of 1 is 2; measured 1, allowed >= 2." in items
    assert "nan: is finite; not finite, allowed <= 1." in items
    assert "later: plain; not decided: not run plain." in items
    assert not any(item.startswith(("yes:", "other:")) for item in items)


def test_what_is_missing_is_told():
    assert warnings(study_page([study_record()], ["a"])) == [
        "The run was stopped before its end: 2 cases are missing.",
        "1 of 6 cases could not be run here:",
    ]
    many = tuple((f"n {n}", "numbers: not here; bring them.") for n in range(20))
    page = study_page([study_record(missing=many, done=0, cases=20)], ["a"])
    assert warnings(page) == ["20 of 20 cases could not be run here:"]
    items = [node.text for node in parsed(render_page(page)).all("li")]
    assert "n 11: numbers: not here; bring them." in items
    assert "n 12: numbers: not here; bring them." not in items
    assert "and 8 more" in items
    assert warnings(study_page([study_record(missing=(), done=6)], ["a"])) == []


def test_tables_that_are_curves_are_drawn():
    page = study_page([study_record()], ["a"])
    (chart,) = blocks(page, LineChart)
    assert (chart.title, chart.x_label) == ("Errors", "step")
    assert tuple(chart.x) == (0.001, 0.01, 0.1)
    assert {line.name: line.values for line in chart.lines} == {
        "ours": (1e-8, 1e-5, 1e-2),
        "theirs": (None, 0.4, 0.5),
    }
    assert (chart.x_log, chart.y_log) == (True, True)
    assert tables(page)["Errors"].rows[0] == (0.1, 1e-2, 0.5)  # in the order of the study


@pytest.mark.parametrize(
    ("rows", "logs"),
    [
        (((1, 0.1), (2, 0.5), (4, 0.9)), (False, False)),
        (((1, 0.0), (60, 1e-9)), (True, False)),
        (((-1, 1e-9), (60, 1.0)), (False, True)),
        (((1, None), (2, None)), (False, False)),
    ],
)
def test_axes_are_logarithmic_where_numbers_ask_for_it(rows, logs):
    table = replace(study_record().tables[1], columns=("x", "y"), rows=rows)
    (chart,) = blocks(study_page([study_record(tables=(table,))], ["a"]), LineChart)
    assert (chart.x_log, chart.y_log) == logs


def test_the_figure_is_an_image_in_which_nothing_runs():
    svg = "<svg xmlns='http://www.w3.org/2000/svg' onload='document.title=1'><script>document.title=2</script></svg>"
    text = render_page(study_page([study_record(figure=svg)], ["a"]))
    (image,) = parsed(text).all("img")
    address = image.get("src")
    assert address.startswith("data:image/svg+xml;base64,")
    assert base64.b64decode(address.partition(",")[2]).decode() == svg
    assert "document.title=" not in text
    assert image.get("alt")


def test_figures_take_no_more_room_than_there_is():
    large, small = "<svg>" + " " * (FIGURES * 2 // 3), "<svg>" + " " * (FIGURES // 4)
    runs = [study_record(str(at), figure=figure) for at, figure in enumerate((large, large, small, None))]
    page = study_page(runs, list("abcd"))
    assert [picture.svg for picture in blocks(page, Picture)] == [large, small]
    text = render_page(page)
    assert len(text.encode()) < 2e6
    assert "it is figure.svg in the folder of 1" in text


def test_what_next_names_commands_that_can_be_typed():
    page = study_page([study_record()], ["'my runs/small'"])
    codes = {block.caption: block.text for block in blocks(page, Code)}
    assert codes["Run the cases that are missing"] == "rankfold study small plain --out 'my runs'"
    assert codes["Run the full size, larger and slower"] == "rankfold study small --full --out 'my runs-full'"
    assert codes["Try other random numbers, and see both runs side by side"] == (
        "rankfold study small --seed 1 --out 'my runs-seed-1'\n"
        "rankfold report 'my runs/small' 'my runs-seed-1/small'"
    )
    assert codes["The command that makes small again"] == "rankfold study small plain"


def test_a_full_run_asks_for_no_larger_one():
    page = study_page([study_record(size="full", missing=(), done=6)], ["small"])
    codes = [block.text for block in blocks(page, Code)]
    assert codes[0].startswith("rankfold study small --full --seed 1 --out seed-1\n")
    assert not any(code == "rankfold study small --full" for code in codes)


def test_runs_of_one_study_stand_side_by_side():
    better = tuple(replace(check, holds=True, value=4.0) for check in study_record().checks[:3])
    other = study_record(
        "second", parameters={"seed": 1, "counts": [1, 2]}, checks=better, verdict="holds", figure=None
    )
    page = study_page([study_record("first"), other], ["a/small", "b/small"])
    assert page.title == "Squares grow plain: 2 runs"
    assert {fact.name: fact.value for fact in page.facts} == {
        "holds in part": "1 of 2",
        "holds": "1 of 2",
        "time": "12.0 s",
    }
    checks = tables(page)["Checks side by side"]
    assert checks.columns[1:5] == ("first: holds", "first: measured", "second: holds", "second: measured")
    assert checks.rows[0][:5] == ("no plain", "no", 1.0, "yes", 4.0)
    assert checks.rows[1][:5] == ("nan", "no", None, "not there", None)
    assert [row[0] for row in tables(page)["Runs side by side"].rows] == ["first", "second"]
    differ = tables(page)["Parameters in which the runs differ"].rows
    assert differ == (("seed", "0", "1"), ("inner: rate", "plain", "not there"))
    assert [group.summary for group in blocks(page, Group)] == ["Run second"]


def test_different_studies_make_a_list_of_verdicts():
    other = study_record("other", study="other", claim="Cubes grow.", verdict="holds")
    page = study_page([study_record(), other], ["a/small", "a/other"])
    assert page.title == "2 studies"
    rows = tables(page)["Verdicts"].rows
    assert [(row[0], row[1], row[-1]) for row in rows] == [
        ("small", "holds in part", "Squares grow plain."),
        ("other", "holds", "Cubes grow."),
    ]
    groups = blocks(page, Group)
    assert [group.summary for group in groups] == ["small: holds in part", "other: holds"]
    text = parsed(render_page(page)).text
    assert "Cubes grow." in text
    assert "The verdict counts the checks of this size" in text


def test_a_run_without_anything_is_a_page():
    empty = study_record(
        checks=(), tables=(), figure=None, remarks=(), facts={}, parameters={}, done=0, missing=()
    )
    text = parsed(render_page(study_page([empty], ["a"]))).text
    assert "There are no numbers yet." in text
    assert "6 cases are missing" in text


@pytest.mark.parametrize("word", HOSTILE)
def test_hostile_words_are_text(word):
    plain = parsed(render_page(study_page([study_record()], ["a"])))
    tree = parsed(render_page(study_page([study_record(word=word)], ["a"])))

    def tags(nodes):
        return [(tag, tags(inside)) for tag, _, inside in nodes]

    assert tags(shape(tree)) == tags(shape(plain))
    assert tree.one("h1").text == f"Squares grow {visible(word)}"
    assert len(list(tree.all("script"))) == 1
