"""What the page of a compression says."""

from dataclasses import replace
from math import inf, nan

import pytest
from tests.report.page.compressions import (
    blocks,
    charts,
    compressed_layer,
    compression_record,
    page_of,
    warnings_of,
)
from tests.report.page.pages import HOSTILE, parsed

from rankfold._display import visible
from rankfold.report.page import Group, Table, Text, render_page


def test_the_questions_come_in_their_order():
    assert [section.title for section in page_of(compression_record()).sections] == [
        "Did it work?",
        "What did it cost?",
        "Where is the rank?",
        "What to do next?",
        "How was it made?",
    ]


def test_the_dense_network_stands_beside():
    page = page_of(compression_record())
    assert {fact.name: (fact.value, fact.twin, fact.note) for fact in page.facts} == {
        "accuracy": ("94.30%", "95.00%", "-0.70 points, on 10,000 test samples"),
        "parameters": ("50,000", "100,000", "50.0% fewer"),
        "FLOPs per sample": ("4.000 M", "8.000 M", "50.0% fewer"),
        "time for 64 samples": ("8 ms", "10 ms", "1 thread, 20.0% shorter"),
        "bytes of the file": ("210,000", "400,000", "47.5% fewer"),
    }
    assert page.twin == "the dense network"
    assert page.title == "resnet20 with 50.0% of its parameters"
    assert page.subtitle == "small: budget params=0.5, calibrated on 500 samples of cifar10, not fine-tuned"


def test_without_labels_the_change_of_the_outputs_stands_first():
    page = page_of(compression_record(accuracy=(None, None), test_samples=0, output_change=0.05))
    assert (page.facts[0].name, page.facts[0].value) == ("change of the outputs", "5.00%")
    assert not warnings_of(page)
    text = parsed(render_page(page)).text
    assert "The accuracy was not measured" in text
    assert "no large change (not over 10%)" in text
    assert "linear or convolution layer mode 0" in text


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"accuracy": (0.95, 0.90)},
            "right on 90.00% of 10,000 test samples, the dense one on 95.00%: 5.00 points",
        ),
        ({"seconds": (0.010, 0.011)}, "became slower: 64 samples take 11 ms, the dense network takes 10 ms"),
        ({"output_change": nan}, "no finite numbers"),
        ({"output_change": inf}, "no finite numbers"),
        ({"accuracy": (None, None)}, "large change (over 10%): allow more parameters, or fine-tune"),
        ({"layers": 1}, "No layer was compressed"),
        ({"settings": {"export": "onnx"}}, "could not be exported as onnx."),
        (
            {"settings": {"export": "torch"}, "export_failure": "export: why."},
            "exported as torch: export: why.",
        ),
    ],
)
def test_what_is_wrong_stands_out(changes, sentence):
    (warning,) = warnings_of(page_of(compression_record(**changes)))
    assert sentence in warning


def test_a_network_that_became_larger_stands_out():
    record = compression_record()
    record = replace(record, after=replace(record.after, parameters=record.before.parameters + 1))
    assert warnings_of(page_of(record)) == [
        "The network became larger: it has more parameters than the dense one."
    ]


@pytest.mark.parametrize(
    ("accuracy", "words"),
    [
        ((0.9173, 0.894), "2.33 points less, 233 more samples are wrong"),
        ((0.90, 0.91), "1.00 points more, 100 more samples are right"),
        ((0.90, 0.90), "as many as before"),
    ],
)
def test_accuracy_in_words(accuracy, words):
    assert any(words in block.text for block in blocks(page_of(compression_record(accuracy=accuracy)), Text))


def test_costs_of_layers_dense_against_now():
    page = page_of(compression_record(layers=3))
    found = charts(page)
    names = ("blocks.0.conv", "blocks.1.conv", "blocks.2.linear")
    for title, dense, now in (
        ("Parameters of each layer", (23040,) * 3, (3720, 3720, 23040)),
        ("FLOPs per sample of each layer", (2e6,) * 3, (4e5, 4e5, 2e6)),
        ("Time of each layer", (2.0,) * 3, (2.5, 2.5, 2.0)),
    ):
        assert found[title].names == names
        assert [(bar.name, bar.values) for bar in found[title].bars] == [("dense", dense), ("now", now)]
    (left,) = [found["What is left of the dense network"]]
    assert left.bars[1].values == pytest.approx((0.5, 0.5, 0.8, 0.525))
    (table,) = blocks(page, Table, "What did it cost?")
    shown = [cell if isinstance(cell, str | int) else cell.text for cell in table.rows[0]]
    assert shown == [
        names[0],
        "20x10",
        23040,
        3720,
        "16.1%",
        "2.000 M",
        "400.0 k",
        "2.000",
        "2.500",
        "125.0%",
    ]
    (times, slower) = blocks(page, Text, "What did it cost?")
    assert "take 6 ms as dense layers and 7 ms now, of 10 ms and 8 ms" in times.text
    assert "blocks.0.conv (2 ms dense, 2.5 ms now), blocks.1.conv" in slower.text


def test_ranks_errors_and_cuts():
    page = page_of(compression_record(layers=2))
    found = charts(page)
    assert [(bar.name, bar.values) for bar in found["Rank that is kept"].bars] == [
        ("mode 0", (20 / 64,)),
        ("mode 1", (10 / 40,)),
    ]
    assert [bar.values for bar in found["Truncation error"].bars] == [(0.4,), (0.05,)]
    spectrum = found["blocks.0.conv"]
    assert [(mark.x, mark.label, mark.line) for mark in spectrum.marks] == [
        (20.0, "cut at 20 of 40", 0),
        (10.0, "cut at 10 of 40", 1),
    ]
    assert spectrum.lines[0].values[0] == 1.0
    assert found["blocks.1.linear"].marks == ()
    text = parsed(render_page(page)).text
    assert "blocks.1.linear: kept dense: it is small." in text
    assert "a cut need not lie where the spectrum" in text


def test_without_calibration_there_are_no_weighted_errors():
    layers = (compressed_layer(weighted_error=None, modes=(1,), ranks=(10,)),)
    record = replace(compression_record(samples=0), layers=layers)
    page = page_of(record)
    assert [bar.name for bar in charts(page)["Truncation error"].bars] == ["of the weight"]
    (table,) = blocks(page, Table, "Where is the rank?")
    assert table.columns == ("layer", "kind", "shape", "rank of mode 1", "error")
    assert "a cut need not lie" not in parsed(render_page(page)).text


def test_the_two_spectra_of_a_matrix_are_one():
    one = compressed_layer().spectra[0]
    layer = compressed_layer(shape=(64, 40), modes=(0, 1), ranks=(9, 9), spectra=(one,))
    chart = charts(page_of(replace(compression_record(), layers=(layer,))))["blocks.0.conv"]
    assert [line.name for line in chart.lines] == ["both modes, 40"]
    assert [(mark.x, mark.line) for mark in chart.marks] == [(9.0, 0)]


def test_thinned_spectra_keep_their_places():
    places = (1, 2, 5, 9, 10, 100)
    one, two = compressed_layer().spectra
    spectra = (
        replace(one, size=100, values=(6.0, 5.0, 4.0, 3.0, 2.0, 0.0)),
        replace(two, size=9, values=(2.0,) * 4),
    )
    layer = compressed_layer(places=places, spectra=spectra)
    chart = charts(page_of(replace(compression_record(), layers=(layer,))))["blocks.0.conv"]
    assert chart.x == places
    assert chart.lines[0].values == (1.0, 5 / 6, 4 / 6, 0.5, 2 / 6, 0.0)
    assert chart.lines[1].values == (1.0, 1.0, 1.0, 1.0, None, None)


def test_an_older_record_has_neither_times_nor_spectra():
    page = page_of(compression_record(timed=False, inputs=()))
    text = parsed(render_page(page)).text
    assert "The layers were not timed one by one: the record is of an older version" in text
    assert "The record holds no spectra" in text
    assert "Time of each layer" not in charts(page)
    assert "FLOPs per sample of each layer" not in charts(page)
    (table,) = blocks(page, Table, "What did it cost?")
    assert "ms now" not in table.columns


def test_many_layers_are_drawn_with_the_largest_first():
    record = compression_record(layers=60)
    big = compressed_layer("big", dense=False)
    big = replace(big, dense=replace(big.dense, parameters=10**9))
    page = page_of(replace(record, layers=(*record.layers, big)))
    for title in ("Parameters of each layer", "Rank that is kept", "Truncation error"):
        assert charts(page)[title].names[0] == "big"
        assert "most parameters first" in charts(page)[title].description
    (table,) = blocks(page, Table, "What did it cost?")
    assert table.rows[0][0] == "blocks.0.conv"
    (group,) = [block for block in blocks(page, Group) if block.summary.startswith("Spectra")]
    assert (len(group.blocks), group.opened) == (61, False)


def test_a_hundred_layers_stay_small():
    name = "encoder.layers.attention." * 4
    record = compression_record(layers=100, prefix=name)
    wide = tuple(
        replace(
            layer,
            places=tuple(range(1, 67)),
            spectra=tuple(replace(one, size=4096, values=(0.123456,) * 66) for one in layer.spectra),
        )
        for layer in record.layers
    )
    text = render_page(page_of(replace(record, layers=wide)))
    assert len(text.encode()) < 2_000_000
    both = render_page(page_of(replace(record, layers=wide), replace(record, name="other", layers=wide)))
    assert len(both.encode()) < 2_000_000


def test_several_stand_side_by_side():
    small, tiny = (
        compression_record("small"),
        compression_record("tiny", accuracy=(0.95, 0.80), seconds=(0.01, 0.005)),
    )
    tiny = replace(tiny, after=replace(tiny.after, parameters=20_000))
    page = page_of(small, tiny)
    assert page.subtitle.startswith("Big numbers: small: ")
    assert page.title == "resnet20: 2 compressions"
    table = blocks(page, Table, "Did it work?")[0]
    assert [row[0] for row in table.rows] == ["dense resnet20", "small", "tiny"]
    assert [row[4] for row in table.rows] == [100_000, 50_000, 20_000]
    assert [row[7].text for row in table.rows] == ["-", "80.0%", "50.0%"]
    chart = charts(page)["Accuracy against parameters"]
    assert chart.x == (20_000, 50_000, 100_000)
    assert {line.name: line.values for line in chart.lines} == {
        "dense resnet20": (None, None, 0.95),
        "small": (None, 0.943, None),
        "tiny": (0.80, None, None),
    }
    assert chart.points
    assert charts(page)["Accuracy against time"].x == pytest.approx((5.0, 8.0, 10.0))
    (warning,) = warnings_of(page)
    assert warning.startswith("tiny: The compressed network is right on 80.00%")
    groups = [block for block in blocks(page, Group) if block.summary.startswith("Compression ")]
    assert [(group.summary, group.opened) for group in groups] == [
        ("Compression small", True),
        ("Compression tiny", False),
    ] * 3
    differing = blocks(page, Table, "How was it made?")[0]
    assert differing.rows == (("output", "small.safetensors", "tiny.safetensors"),)


def test_without_accuracy_the_outputs_are_set_against_size():
    known = {"accuracy": (None, None), "test_samples": 0}
    page = page_of(compression_record("a", **known), compression_record("b", output_change=0.1, **known))
    chart = charts(page)["Change of the outputs against parameters"]
    assert {line.name: [value for value in line.values if value] for line in chart.lines} == {
        "a": [0.26],
        "b": [0.1],
    }
    broken = page_of(*(compression_record(name, output_change=nan, **known) for name in "ab"))
    assert [row[3].text for row in blocks(broken, Table, "Did it work?")[0].rows] == ["-", "-", "-"]
    lost = page_of(*(compression_record(name, output_change=None, **known) for name in "ab"))
    assert not [title for title in charts(lost) if "against" in title]


def test_networks_of_different_weights_each_stand_dense():
    other = compression_record("other", settings={"weights": "other.safetensors"})
    table = blocks(page_of(compression_record(), other), Table, "Did it work?")[0]
    assert [row[1] for row in table.rows] == [
        "from net.safetensors",
        "budget params=0.5",
        "from other.safetensors",
        "budget params=0.5",
    ]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_text(name):
    layers = (compressed_layer(name), compressed_layer(name, dense=True, kind=name, reason=name))
    record = replace(
        compression_record(
            name or "x", settings={"weights": name, "model": name, "policy": name, "output": name}
        ),
        layers=layers,
        place=name,
        versions={name: name},
        inputs=(name,),
        export_failure=name,
    )
    text = render_page(page_of(record, replace(record, name=f"{name}2")))
    assert text.encode()
    assert "<script>document" not in text
    assert "<img" not in text
    tree = parsed(text)
    assert len(list(tree.all("script"))) == 1
    assert visible(name or "(the network)") in [node.text for node in tree.all("th")]
