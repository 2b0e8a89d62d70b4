"""What the layers of a trained network take, measured after its run."""

import json
import shutil

import pytest
from tests.report.page.pages import parsed

from rankfold._errors import OptionError, RankfoldError
from rankfold.cli import _train, main
from rankfold.cli._report_sources import SOURCES
from rankfold.report.page import render_page


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    folder = tmp_path_factory.mktemp("measured") / "run"
    words = ["--model", "mlp", "--rank", "6", "--epochs", "1", "--batch-size", "400", "--threads", "1"]
    assert main(["train", *words, "--device", "cpu", "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def run(measured, tmp_path):
    shutil.copytree(measured, tmp_path / "run")
    return tmp_path / "run"


def page_of(run):
    source = SOURCES["train"]
    return render_page(source.page([source.read(run, "run")], ["run"]))


def layers_of(tree):
    return next(node for node in tree.all("table") if node.one("caption").text == "Layers")


def columns_of(text):
    return [node.text for node in layers_of(parsed(text)).one("thead").all("th")]


def test_the_record_says_what_was_measured_and_how(measured):
    record = json.loads((measured / "times.json").read_text())
    assert list(record["layers"]) == ["layers.0", "layers.1", "layers.2"]
    for pair in (record["network"], *record["layers"].values()):
        assert 0 < pair["dense"] < 10
        assert 0 < pair["now"] < 10
    known = {name: record[name] for name in ("epochs", "batch", "device", "threads", "place")}
    assert known == {"epochs": 1, "batch": 360, "device": "cpu", "threads": 1, "place": "1 thread"}
    assert sorted(record["versions"]) == ["python", "rankfold", "torch"]


def test_the_page_has_them_beside_the_rest(run):
    text = page_of(run)
    assert columns_of(text)[-3:] == ["ms dense", "ms now", "now / dense"]
    tree = parsed(text)
    names = [node.text for node in tree.all("dt")]
    assert {"measured time of the layers", "measured time of the network"} <= set(names)
    assert "Time of each layer" in [node.text for node in tree.all("strong")]
    assert "at batch 360 on 1 thread, by rankfold" in tree.text
    record = json.loads((run / "times.json").read_text())
    for row in layers_of(tree).one("tbody").all("tr"):
        dense, now = list(row.all("td"))[-3:-1]
        pair = record["layers"][row.one("th").text]
        assert (float(dense.get("data-v")), float(now.get("data-v"))) == (pair["dense"], pair["now"])


def test_a_run_without_them_has_no_column(run):
    (run / "times.json").unlink()
    text = page_of(run)
    assert columns_of(text)[-1] == "FLOPs now"
    assert "Times were not measured." in text
    assert "measured time" not in text


def test_times_from_before_the_run_went_on_are_none_of_it(run):
    record = json.loads((run / "times.json").read_text())
    (run / "times.json").write_text(json.dumps({**record, "epochs": 7}))
    assert "Times were not measured." in page_of(run)


def test_going_on_measures_anew(train, small, tmp_path):
    train(*small, "--epochs", "1", folder="run")
    file = tmp_path / "run" / "times.json"
    assert train("--resume", "run", "--epochs", "2", stop_after=2) == 130
    assert not file.exists()
    assert train("--resume", "run") == 0
    assert json.loads(file.read_text())["epochs"] == 2
    file.unlink()
    assert train("--resume", "run") == 0  # complete, but not measured
    assert json.loads(file.read_text())["epochs"] == 2


def test_a_dense_run_has_nothing_to_compare(train, small, tmp_path):
    assert train(*small, "--epochs", "1", "--dense", folder="run") == 0
    assert not (tmp_path / "run" / "times.json").exists()


@pytest.mark.parametrize(
    ("failure", "sentence"),
    [
        (OptionError("reasons."), "no times of the layers: reasons."),
        (MemoryError("reasons"), "no times of the layers: MemoryError: reasons."),
        (KeyboardInterrupt(), "no times of the layers: interrupted."),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_measurement_that_fails_is_no_failure_of_the_run(
    train, small, tmp_path, failure, sentence, monkeypatch, capsys
):
    def fail(*positional):
        raise failure

    monkeypatch.setattr(_train, "measure_times", fail)
    assert train(*small, "--epochs", "1", folder="run") == 0
    out = capsys.readouterr().out
    assert sentence in out
    assert "in use" not in out
    assert (tmp_path / "run" / "report.html").is_file()


@pytest.mark.parametrize("name", ["times.json", "failure.json"])
@pytest.mark.parametrize("text", ["", "[1]", "{", "[" * 100_000])
def test_records_that_are_none_are_told(run, name, text):
    """Hostile values in them are read by the harness of benchmarks/fuzz."""
    (run / name).write_text(text)
    with pytest.raises(RankfoldError, match=name):
        page_of(run)
