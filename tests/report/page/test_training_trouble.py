"""A run that did not work is told so, and what helps."""

from dataclasses import replace
from math import log

import pytest
from tests.report.page.pages import training_record

from rankfold.report.page import FailureRecord, LayerRecord, Live, Text, training_page
from rankfold.report.page._training_advice import advice
from rankfold.report.page._training_trouble import trouble_of

USUAL = {
    "rank": 0.5,
    "max_rank": None,
    "tolerance": 0.14,
    "weight_decay": 0.003,
    "epochs": 30,
    "momentum": 0.9,
    "learning_rate": 0.1,
}


GUESSING = log(10)  # nats, of ten classes


def run_of(accuracies, loss=GUESSING, dense=False, **settings):
    """A run with these accuracies epoch by epoch, whose last training loss is that of guessing ten classes."""
    run = training_record(epochs=len(accuracies), dense=dense)
    metrics = tuple(
        {**line, "test_accuracy": accuracy} for line, accuracy in zip(run.metrics, accuracies, strict=True)
    )
    last = {**metrics[-1], "train_loss": loss}
    given = {**run.settings, **USUAL, "epochs": len(accuracies), **settings}
    return replace(run, settings=given, metrics=(*metrics[:-1], last), usual=USUAL, classes=10)


def warnings(run, live=None):
    page = training_page([run], ["run"], live)
    return [block.text for block in page.sections[0].blocks if isinstance(block, Text) and block.warning]


def test_a_network_that_only_guesses():
    run = run_of([0.1] * 30)
    assert warnings(run) == [
        "low: the network only guesses: 10.00% of 10 classes are right, and the training loss is 2.303, where "
        "guessing has 2.303."
    ]
    assert list(advice(run, None, "run")) == [
        "Start again with --learning-rate 0.05 instead of 0.1: steps may be too long for it."
    ]


def test_a_network_that_fell_back_to_guessing_in_too_few_epochs():
    run = run_of([0.28, 0.48, 0.1, 0.1, 0.1, 0.1])
    assert warnings(run)[0].endswith("It had learned and fell back: 48.00% after epoch 2.")
    first, second = advice(run, None, "run")
    assert first.startswith("Start again with --epochs 30 instead of 6: ")
    assert second.startswith("Start again with --learning-rate 0.05 instead of 0.1: ")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"rank": 1}, "with --rank 0.5 instead of 1: "),
        ({"rank": 0.02}, "with --rank 0.5 instead of 0.02: "),
        ({"max_rank": 1}, "without --max-rank 1: "),
        ({"tolerance": 0.9}, "with --tolerance 0.14 instead of 0.9: "),
        ({"weight_decay": 1.0}, "with --weight-decay 0.003 instead of 1: "),
        ({"momentum": 0.99}, "with --momentum 0.9 instead of 0.99: "),
        ({"learning_rate": 0.25}, "with --learning-rate 0.1 instead of 0.25: "),
        ({"learning_rate": 1e-4}, "with --learning-rate 0.1 instead of 0.0001: "),
    ],
)
def test_settings_far_from_the_usual_ones_are_named(changes, words):
    for accuracies in ([0.1] * 30, [0.5] + [0.1] * 29):
        (sentence,) = advice(run_of(accuracies, **changes), None, "run")
        assert sentence.startswith(f"Start again {words}")


def test_what_means_nothing_to_a_dense_network_is_not_named():
    (sentence,) = advice(run_of([0.1] * 30, dense=True, rank=1, tolerance=0.9, max_rank=1), None, "run")
    assert "--learning-rate 0.05" in sentence


@pytest.mark.parametrize(
    "run",
    [
        run_of([0.1, 0.5, 0.9]),  # learned
        run_of([0.9, 0.1, 0.1], loss=0.2),  # learned by heart
        replace(run_of([0.1] * 3), classes=None),  # nobody knows what guessing gives
        replace(run_of([0.1] * 3), settings={**run_of([0.1] * 3).settings, "epochs": 30}),  # has only begun
        replace(run_of([0.1]), metrics=()),
    ],
)
def test_what_is_no_trouble(run):
    assert trouble_of(run) is None


def test_a_live_page_tells_of_a_fall_and_not_of_a_slow_start():
    live = Live("training", 2.0)
    begun = replace(run_of([0.1] * 3), settings={**USUAL, **training_record().settings, "epochs": 30})
    assert warnings(begun, live) == []
    fallen = replace(run_of([0.5, 0.1, 0.1]), settings={**training_record().settings, **USUAL, "epochs": 30})
    assert "fell back" in warnings(fallen, live)[0]
    assert "--learning-rate 0.05" in next(advice(fallen, None, "run"))


def failed(diverged, **settings):
    failure = FailureRecord(epoch=4, sentence="TDLRT: at step 83 <b> holds NaN", diverged=diverged)
    return replace(run_of([0.1, 0.1, 0.18], loss=2.47, **{**settings, "epochs": 30}), failure=failure)


def test_a_run_that_diverged_is_not_taken_up_again():
    run = failed(True, rank=1)
    assert warnings(run) == ["low: the training failed in epoch 4: TDLRT: at step 83 <b> holds NaN."]
    (sentence,) = advice(run, None, "run")
    assert sentence.startswith("Start again with --rank 0.5 instead of 1: ")
    (sentence,) = advice(failed(True), None, "run")
    assert "--learning-rate 0.05" in sentence


def test_a_run_that_failed_of_something_else_is():
    sentences = list(advice(failed(False), None, "'a run'"))
    assert sentences[0] == "Once what it failed of is mended, go on with: rankfold train --resume 'a run'"
    assert not [sentence for sentence in sentences if "Start again" in sentence]
    assert list(advice(replace(failed(False), metrics=()), None, "run")) == [
        "Once what it failed of is mended, go on with: rankfold train --resume run"
    ]


def test_layers_that_ended_at_rank_1_are_named():
    run = training_record()
    narrow = [
        replace(layer, name=f"layer {number}", ranks=(1, 5, 3, 3)[: len(layer.shape)])
        for number, layer in enumerate(run.layers * 2)
    ]
    told = [one for one in advice(replace(run, layers=tuple(narrow)), None, "run") if "rank 1" in one]
    assert told == [
        "layer 0, layer 1, layer 2 and 1 more ended at rank 1: where that costs accuracy start with a higher --rank, "
        "lower --tolerance or set --min-rank."
    ]
    single = LayerRecord(
        name="conv",
        kind="Conv2d",
        shape=(20, 1),
        modes=(0, 1),
        ranks=(5, 1),  # of one input channel there is no more
        parameters_dense=20,
        parameters=10,
        flops_dense=1,
        flops=1,
    )
    assert not [one for one in advice(replace(run, layers=(single,)), None, "run") if "rank 1" in one]
