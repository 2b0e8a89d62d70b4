"""What a page says about measured times: slower is called slower."""

from dataclasses import replace

import pytest
from tests.report.page.pages import training_record

from rankfold.report.page import BarChart, Table, TimesRecord, training_page
from rankfold.report.page._training_advice import advice
from rankfold.report.page._training_facts import runs_table, training_facts

FIRST, SECOND = "blocks.0.conv", "blocks.1.conv"


def timed(network=(4e-3, 2e-3), **layers):
    pairs = {FIRST: (2e-3, 1e-3), SECOND: (1e-3, 1.5e-3), **layers}
    times = TimesRecord(batch=64, place="1 thread", versions={"torch": "2"}, network=network, layers=pairs)
    return replace(training_record(), times=times)


def facts_of(run):
    return {fact.name: fact for fact in training_facts(run, None)}


@pytest.mark.parametrize(
    ("dense", "now", "words"),
    [
        (4e-3, 2e-3, "2.00 times as fast as dense; batch 64, 1 thread"),
        (4e-3, 4.1e-3, "as fast as dense; batch 64, 1 thread"),
        (4e-3, 5e-3, "slower than dense: 1.25 times the time; batch 64, 1 thread"),
        (4e-9, 5e3, "slower than dense: 1250000000000.00 times the time; batch 64, 1 thread"),
    ],
)
def test_the_headline_says_which_is_faster(dense, now, words):
    assert facts_of(timed(network=(dense, now)))["measured time of the network"].note == words


def test_the_headline_adds_the_layers_up():
    fact = facts_of(timed())["measured time of the layers"]
    assert (fact.value, fact.twin) == ("2.5 ms", "3 ms dense")
    assert "counted and timed, not trained" in training_page([timed()], ["run"]).twin


def test_layers_that_are_slower_are_named_with_what_to_do():
    (sentence,) = [one for one in advice(timed(), None, "run") if "Slower" in one]
    assert sentence == (
        f"Slower than dense at batch 64 on 1 thread: {SECOND} (1.50 times the dense time). "
        "rankfold.fold(model, example_inputs=x) leaves such layers dense; all layers would take 2 ms then, "
        "2.5 ms now, 3 ms dense."
    )
    fast = timed(**{SECOND: (1e-3, 1.02e-3)})
    assert not [one for one in advice(fast, None, "run") if "Slower" in one]


def test_the_slowest_come_first_and_the_rest_is_counted():
    slow = {f"layer {number}": (1e-3, (2 + number) * 1e-3) for number in range(5)}
    (sentence,) = [one for one in advice(timed(**slow), None, "run") if "Slower" in one]
    assert "layer 4 (6.00 times the dense time), layer 3 (5.00" in sentence
    assert "layer 2 (4.00 times the dense time) and 3 more." in sentence


def blocks_of(run, kind):
    page = training_page([run], ["run"])
    return [block for section in page.sections for block in section.blocks if isinstance(block, kind)]


def test_layers_that_were_not_measured_are_gaps():
    run = timed()
    run = replace(run, times=replace(run.times, layers={FIRST: (2e-3, 1e-3)}))
    (chart,) = [one for one in blocks_of(run, BarChart) if one.value_label == "ms"]
    assert [bar.values for bar in chart.bars] == [(2.0, None), (1.0, None)]
    (table,) = [one for one in blocks_of(run, Table) if one.caption == "Layers"]
    assert [cell and cell.text for cell in table.rows[0][-3:]] == ["2", "1", "0.50"]
    assert table.rows[1][-3:] == (None, None, None)
    assert "Times in ms per call, at batch 64 on 1 thread, by torch 2" in table.note


def test_runs_side_by_side():
    table = runs_table([timed(), training_record("other")])
    assert table.columns[-1] == "ms of the network"
    assert [row[-1] and row[-1].text for row in table.rows] == ["2 at batch 64", None]
    assert runs_table([training_record()]).columns[-1] == "epochs"


def test_without_layers_there_is_only_the_network():
    run = timed()
    run = replace(run, times=replace(run.times, layers={}))
    assert "measured time of the layers" not in facts_of(run)
    assert not [one for one in blocks_of(run, BarChart) if one.value_label == "ms"]
