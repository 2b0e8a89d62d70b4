"""The page of a real compression in a real browser."""

import json

import pytest
import torch
from tests.report.page.browser import By, column_of, hover, layout_troubles, plot_titled
from tests.report.page.compressions import compression_record
from tests.report.page.pages import HOSTILE

import rankfold as rf
from rankfold.cli import main
from rankfold.models import build_model
from rankfold.report.page import compression_page

WIDTHS = [(320, False), (320, True), (768, False), (1200, True)]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Two compressions of one network as the command leaves them, and their page side by side."""
    folder = tmp_path_factory.mktemp("made")
    torch.manual_seed(0)
    rf.save(build_model("lenet5"), folder / "net.safetensors")
    words = [
        "compress",
        str(folder / "net.safetensors"),
        "--model",
        "lenet5",
        "--threads",
        "1",
        "--device",
        "cpu",
    ]
    words += ["--latency-batch", "4", "--calibrate", "digits", "--calibration-samples", "50"]
    for name, share in (("small", 0.2), ("tiny", 0.05)):
        policy = ["--policy", f"budget params={share}", "--output", str(folder / f"{name}.safetensors")]
        assert main([*words, *policy]) == 0
    records = [str(folder / f"{name}.compression.json") for name in ("small", "tiny")]
    assert main(["report", *records, "--out", str(folder / "both.html")]) == 0
    return folder


@pytest.mark.parametrize("name", ["small.compression.html", "both.html"])
@pytest.mark.parametrize(("width", "dark"), WIDTHS)
def test_nothing_overlaps_or_sticks_out(visit, made, name, width, dark):
    assert layout_troubles(visit(made / name, width=width, dark=dark)) == []


@pytest.mark.parametrize(("width", "dark"), [(320, True), (1200, False)])
def test_pages_of_many_layers_and_of_odd_names(visit, width, dark):
    many = compression_record("many", layers=30, prefix="encoder.layers.attention")
    odd = compression_record(
        "layer" * 60, layers=3, prefix="תיבה" * 20, accuracy=(0.95, 0.5), seconds=(0.01, 0.02)
    )
    for records in ([many], [odd], [odd, many]):
        page = compression_page(records, [f"{record.name}.compression.json" for record in records])
        assert layout_troubles(visit(page, width=width, dark=dark)) == []


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_do_nothing(visit, name):
    record = compression_record("x", prefix=name, settings={"model": name, "policy": name})
    driver = visit(compression_page([record, record], ["x", "x"]))
    driver.execute_script("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert driver.title != "owned"
    assert driver.execute_script("return document.images.length + document.scripts.length") == 1


def test_the_costs_of_layers_sort(visit, made):
    driver = visit(made / "small.compression.html")
    layers = {row["name"]: row for row in json.loads((made / "small.compression.json").read_text())["layers"]}
    caption = "Costs of the layers"
    assert column_of(driver, caption, "layer") == list(layers)
    for title, key in (("ms now", "seconds_after"), ("parameters now", "parameters_after")):
        (button,) = [
            button
            for button in driver.find_elements(By.CSS_SELECTOR, f'[aria-label="{caption}"] thead button')
            if button.text == title
        ]
        button.click()
        assert column_of(driver, caption, "layer") == sorted(layers, key=lambda name: layers[name][key])
        button.click()
        assert column_of(driver, caption, "layer")[0] == max(layers, key=lambda name: layers[name][key])


def test_hover_shows_times_and_singular_values(visit, made):
    driver = visit(made / "small.compression.html")
    record = json.loads((made / "small.compression.json").read_text())
    layer = record["layers"][1]
    shown = hover(
        driver, plot_titled(driver, "Time of each layer"), 200, 8 + 1.5 * 27
    )  # the second group of bars
    dense, now = (float(f"{1000 * layer[key]:.6g}") for key in ("seconds_before", "seconds_after"))
    assert (shown[0], shown[1], shown[3]) == ("conv2", "dense", "now")
    assert (float(shown[2]), float(shown[4])) == pytest.approx((dense, now))
    first = hover(driver, plot_titled(driver, "conv2"), 46, 100)
    assert first[0] == "number of the singular value 1"
    assert (first[2], first[4]) == ("1", "1")


def test_a_point_for_each_network(visit, made):
    driver = visit(made / "both.html")
    plot = plot_titled(driver, "Accuracy against parameters")
    points = plot.find_elements(By.CSS_SELECTOR, ".line.p")
    assert len(points) == 3
    ends = [float(point.get_attribute("d")[1:].split()[0]) for point in points]
    assert all(46 < end < 346 for end in ends)  # none half behind an axis
    assert ends.index(max(ends)) == 0  # the dense network has most parameters
