"""What the page of a training run says."""

from dataclasses import replace

import pytest
from tests.report.page.pages import parsed, training_record

from rankfold.report.page import (
    Group,
    HeatMap,
    LineChart,
    ModeSpectrum,
    RankChange,
    render_page,
    training_page,
)
from rankfold.report.page._training_facts import advice, differing_settings, training_facts, twin_of


def blocks(page, title):
    return next(section.blocks for section in page.sections if section.title == title)


def of_kind(page, kind):
    return [block for section in page.sections for block in section.blocks if isinstance(block, kind)]


def test_the_questions_come_in_their_order():
    page = training_page([training_record()], ["low"])
    assert [section.title for section in page.sections] == [
        "Did it work?",
        "What did it cost?",
        "Where is the rank?",
        "What to do next?",
        "How was it made?",
    ]


def test_the_dense_run_stands_beside():
    low, twin = training_record("low"), training_record("twin", dense=True, accuracy=0.97)
    for records in ([low, twin], [twin, low]):
        page = training_page(records, ["a", "b"])
        facts = {fact.name: (fact.value, fact.twin) for fact in page.facts}
        assert facts["test accuracy"] == ("95.00%", "97.00%")
        assert facts["parameters"] == ("610", "2,410")
        assert facts["FLOPs per sample"] == ("72.00 k", "240.0 k")
        assert facts["training time"] == ("6.0 s", "6.0 s")
        assert page.twin == "the dense run “twin”"


def test_without_a_dense_run_its_size_is_counted():
    facts = {fact.name: fact for fact in training_facts(training_record(), None)}
    assert facts["test accuracy"].twin == ""
    assert facts["parameters"].twin == "2,410 dense"
    assert facts["parameters"].note == "74.7% fewer than as dense layers"
    assert "counted, not trained" in training_page([training_record()], ["low"]).twin


def test_a_dense_run_of_another_task_is_no_twin():
    low = training_record()
    assert twin_of([low, training_record("other", dense=True, data="mnist")]) is None
    assert twin_of([training_record("one", dense=True)]) is None


def test_ranks_hold_from_the_start_to_the_end():
    change = RankChange(step=10, before=(4, 3), ranks=(2, 3), error=0.1, capped=False)
    later = RankChange(step=30, before=(2, 3), ranks=(1, 3), error=0.2, capped=True)
    run = replace(
        training_record(layers=2),
        changes={"blocks.0.conv": (change, later), "blocks.1.conv": (replace(change, step=50),)},
    )
    first, second = [chart for chart in of_kind(training_page([run], ["r"]), LineChart) if chart.steps]
    assert first.x == (0.0, 10.0, 30.0, 50.0)
    assert [line.values for line in first.lines] == [(4, 2, 1, 1), (3, 3, 3, 3)]
    assert second.x == (0.0, 50.0, 50.0)
    (errors,) = [
        chart
        for chart in of_kind(training_page([run], ["r"]), LineChart)
        if chart.title == "Truncation error"
    ]
    assert (errors.x, errors.lines[0].values) == ((10.0, 30.0, 50.0), (0.1, 0.2, 0.1))


def test_spectra_show_the_cut_and_the_dense_run():
    low, twin = training_record("low", layers=1), training_record("twin", layers=1, dense=True)
    page = training_page([low, twin], ["a", "b"])
    (chart,) = [
        chart for chart in of_kind(page, LineChart) if chart.x_label == "number of the singular value"
    ]
    assert [(mark.x, mark.label) for mark in chart.marks] == [
        (20.0, "mode 0 cut at 20"),
        (15.0, "mode 1 cut at 15"),
    ]
    assert [line.name for line in chart.lines] == [
        "mode 0 of 40",
        "mode 0 of 40, dense run",
        "mode 1 of 30",
        "mode 1 of 30, dense run",
    ]
    assert chart.lines[0].values[0] == 1.0
    assert chart.lines[0].values[20:] == (None,) * 20


def test_many_layers_are_a_map_and_folded_charts():
    page = training_page([training_record(layers=20)], ["r"])
    (heat,) = of_kind(page, HeatMap)
    assert len(heat.rows) == 20
    assert heat.values[0][0] == 1.0
    groups = of_kind(page, Group)
    assert [len(group.blocks) for group in groups] == [20, 20]
    assert not any(group.opened for group in groups)


def test_a_run_without_a_whole_epoch():
    run = replace(training_record(epochs=3), metrics=(), layers=(), changes={})
    page = training_page([run], ["'a run'"])
    text = parsed(render_page(page)).text
    assert "no epoch is complete yet" in text
    assert "rankfold train --resume 'a run'" in text
    assert "nan" not in text.lower().replace("finance", "")


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "There is no dense run beside this one"),
        ({"epochs": 9}, "3 of 9 epochs are done; go on with: rankfold train --resume path"),
        ({"dense": True}, "This is the dense network"),
    ],
)
def test_what_to_do_next(changes, sentence):
    run = training_record()
    run = replace(run, settings={**run.settings, **changes})
    assert any(sentence in one for one in advice(run, None, "path"))


def test_what_to_do_next_against_the_dense_run():
    run, twin = training_record(accuracy=0.90), training_record("twin", dense=True, accuracy=0.97)
    assert "The accuracy is 90.00% against 97.00% of the dense run: a lower --tolerance" in " ".join(
        advice(run, twin, "p")
    )
    assert "a higher --tolerance would give a smaller network" in " ".join(advice(twin_like(twin), twin, "p"))


def twin_like(twin):
    return replace(training_record(), metrics=twin.metrics)


def test_a_loss_that_is_no_number_any_more():
    run = training_record()
    broken = {**run.metrics[-1], "train_loss": float("nan"), "test_loss": float("nan")}
    run = replace(run, metrics=(*run.metrics[:-1], broken))
    (sentence,) = advice(run, None, "p")
    assert "lower --learning-rate" in sentence
    text = render_page(training_page([run], ["r"]))
    assert "the loss is no finite number any more" in text
    assert "NaN" not in "".join(node.get("d") or "" for node in parsed(text).all("path"))


def test_only_settings_that_differ_are_shown_side_by_side():
    table = differing_settings([training_record("a"), training_record("b", tolerance=0.3)])
    assert table.rows == (("tolerance", "0.1", "0.3"),)
    assert len(differing_settings([training_record()]).rows) == 5


def test_a_spectrum_shows_as_much_right_of_the_cut_as_left_of_it():
    def chart(record, twin=None):
        page = training_page([record, twin] if twin else [record], ["a", "b"] if twin else ["a"])
        return next(
            block
            for block in blocks(page, "Where is the rank?")
            if isinstance(block, LineChart) and block.y_log
        )

    low = training_record(layers=1, full=(300, 200), modes=2)
    layer = replace(
        low.layers[0], ranks=(3, 2), spectra=(ModeSpectrum(mode=0, size=200, values=(1.0, 0.5, 0.2)),)
    )
    low = replace(low, layers=(layer,))
    assert (len(chart(low).x), chart(low).x_log) == (6, False)
    dense = replace(
        layer, ranks=None, modes=(), spectra=(ModeSpectrum(mode=0, size=200, values=tuple([1.0] * 200)),)
    )
    twin = replace(training_record("twin", layers=1, dense=True), layers=(dense,))
    both = chart(low, twin)
    assert (len(both.x), both.x_log) == (200, True)
    assert [line.name for line in both.lines] == ["mode 0 of 200", "mode 0 of 200, dense run"]


def test_long_tables_scroll_in_a_box_of_their_own():
    def boxes(count):
        tree = parsed(render_page(training_page([training_record(layers=count)], ["low"])))
        return [node.get("class") for node in tree.all("div") if node.get("aria-label") == "Layers"]

    assert boxes(25) == ["scroll"]
    assert boxes(26) == ["scroll tall"]
