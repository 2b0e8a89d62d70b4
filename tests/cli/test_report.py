"""``rankfold report``, and the pages that train and decompose leave."""

import json
import shlex
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.report.page.pages import parsed

from rankfold.cli import _report, main
from rankfold.cli._report_config import page_of
from rankfold.cli._report_sources import SOURCES
from rankfold.cli._report_training import read_training


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run, its dense twin, and one that was interrupted in its first epoch; and two decompositions."""
    folder = tmp_path_factory.mktemp("runs")
    words = ["--model", "mlp", "--rank", "6", "--epochs", "2", "--batch-size", "400", "--threads", "1"]
    words += ["--core-steps", "2", "--device", "cpu"]
    assert main(["train", *words, "--out", str(folder / "low")]) == 0
    assert main(["train", *words, "--dense", "--out", str(folder / "dense")]) == 0
    shutil.copytree(folder / "low", folder / "begun")
    for name in ("model.safetensors", "metrics.jsonl", "ranks.jsonl", "report.html"):
        (folder / "begun" / name).unlink()
    a, b, c = np.random.default_rng(0).normal(size=(3, 6, 2))
    np.save(folder / "cube.npy", np.einsum("ir,jr,kr->ijk", a, b, c))
    cube = [str(folder / "cube.npy"), "--device", "cpu", "--threads", "1"]
    assert main(["decompose", *cube, "--rank", "2", "--out", str(folder / "cp")]) == 0
    tucker = ["--format", "tucker", "--tolerance", "0.1", "--out", str(folder / "tucker")]
    assert main(["decompose", *cube, *tucker]) == 0
    train = ["--format", "tt", "--tolerance", "0.1", "--out", str(folder / "tt")]
    assert main(["decompose", *cube, *train]) == 0
    weights = [
        str(folder / "dense" / "model.safetensors"),
        "--model",
        "mlp",
        "--device",
        "cpu",
        "--threads",
        "1",
    ]
    policy = ["--policy", "budget params=0.1", "--latency-batch", "2"]
    assert main(["compress", *weights, *policy, "--output", str(folder / "small.safetensors")]) == 0
    return folder


@pytest.fixture
def copy(runs, tmp_path, monkeypatch):
    """The folders, to be damaged."""
    shutil.copytree(runs, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    return tmp_path / "copy"


def failure(capsys):
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert err.startswith("rankfold: ")
    return err


def facts_of(tree):
    values = {}
    for node in tree.all("dt"):
        value = node.parent.one("dd")
        values[node.text] = [part.text for part in value.children if part.get("class") in ("value", "twin")]
    return values


def test_train_leaves_a_page(runs):
    tree = parsed((runs / "low" / "report.html").read_text(encoding="utf-8"))
    last = json.loads((runs / "low" / "metrics.jsonl").read_text().splitlines()[-1])
    facts = facts_of(tree)
    assert facts["test accuracy"] == [f"{last['test_accuracy']:.2%}"]
    assert facts["parameters"][0] == f"{last['parameters']:,}"
    assert "648,010 dense" in facts["parameters"][1]
    (code,) = [" ".join(node.text.split()) for node in tree.all("code")]
    words = shlex.split(code)
    assert words[:4] == ["rankfold", "train", "--model", "mlp"]
    assert words[words.index("--out") + 1] == str(runs / "low")
    assert "the network only guesses" in tree.text  # after eight steps
    assert "Start again with --epochs 30 instead of 2" in tree.text
    titles = [figure.one("strong").text for figure in tree.all("figure")]
    assert titles.count("layers.0") == 2  # ranks and spectrum
    assert {"Loss", "Accuracy", "Truncation error", "Parameters of each layer"} <= set(titles)


def test_report_makes_the_same_page_again(copy, capsys):
    before = (copy / "low" / "report.html").read_bytes()
    assert main(["report", "low"]) == 0
    assert capsys.readouterr().out == f"page: {Path('low') / 'report.html'}\n"
    first = (copy / "low" / "report.html").read_bytes()
    assert main(["report", "low"]) == 0
    assert (copy / "low" / "report.html").read_bytes() == first
    # The folder has moved, and the page says how to go on from where it is: nothing else differs.
    assert len(before) - len(first) < 2000


def test_the_dense_run_stands_beside(copy, capsys):
    assert main(["report", "dense", "low", "--out", "both.html"]) == 0
    tree = parsed((copy / "both.html").read_text(encoding="utf-8"))
    facts = facts_of(tree)
    assert len(facts["test accuracy"]) == 2
    assert facts["parameters"][1].endswith("648,010")
    assert "Runs side by side" in [node.text for node in tree.all("caption")]
    assert "Layers side by side" in [node.text for node in tree.all("caption")]
    assert any(", dense run" in node.text for node in tree.all("li"))


def test_several_runs_go_to_the_current_folder(copy, capsys):
    assert main(["report", "low", "dense"]) == 0
    assert (copy / "report.html").is_file()


def test_runs_of_one_name(copy, capsys):
    shutil.copytree(copy / "low", copy / "deep" / "low")
    assert main(["report", "low", "deep/low"]) == 0
    heads = [node.text for node in parsed((copy / "report.html").read_text(encoding="utf-8")).all("th")]
    assert {"low", "deep/low"} <= set(heads)


def test_a_run_without_a_whole_epoch(copy, capsys):
    assert main(["report", "begun"]) == 0
    text = parsed((copy / "begun" / "report.html").read_text(encoding="utf-8")).text
    assert "no epoch is complete yet" in text
    assert "rankfold train --resume begun" in text


@pytest.mark.parametrize("name", ["cp", "tucker", "tt"])
def test_decompose_leaves_a_page(runs, name):
    tree = parsed((runs / name / "report.html").read_text(encoding="utf-8"))
    assert tree.one("h1").text == f"cube.npy in {name} form"
    titles = [figure.one("strong").text for figure in tree.all("figure")]
    assert ("Mode 0" in titles) == (name != "tt")
    assert ("Spectrum of mode 0" in titles) == (name == "tucker")
    python, command = [node.text for node in tree.all("code")]
    assert command.startswith("rankfold decompose ")
    words = shlex.split(command)
    assert words[words.index("--out") + 1] == str(runs / name)
    names = {}
    exec(python, names)
    assert names["parts"].shape == (6, 6, 6) if name != "cp" else names["parts"].rank == 2


def test_a_name_of_the_time_is_no_out(copy):
    for name in ("mlp-digits-20261130-101500", "mlp-digits-20261130-101500-2", "mlp-digits"):
        shutil.copytree(copy / "low", copy / name)
        record = read_training(Path(name), name)
        assert ("--out" in record.command) == (name == "mlp-digits")
    Path("latest").symlink_to("mlp-digits-20261130-101500", target_is_directory=True)
    assert "--out" not in read_training(Path("latest"), "latest").command


def test_decompositions_side_by_side(copy, capsys):
    assert main(["report", "cp", "tucker", "tt", "--out", "all.html"]) == 0
    text = (copy / "all.html").read_text(encoding="utf-8")
    assert "Decompositions side by side" in text


def cut_metrics(copy):
    (copy / "low" / "metrics.jsonl").write_text('{"epoch": 1')


def words_in_metrics(copy):
    (copy / "low" / "metrics.jsonl").write_text('{"epoch": 1, "train_loss": "low"}')


def odd_ranks(copy):
    lines = (copy / "low" / "ranks.jsonl").read_text().splitlines()
    (copy / "low" / "ranks.jsonl").write_text(json.dumps({**json.loads(lines[0]), "ranks": [1, 2, 3]}))


def ranks_of_words(copy):
    lines = (copy / "low" / "ranks.jsonl").read_text().splitlines()
    (copy / "low" / "ranks.jsonl").write_text(json.dumps({**json.loads(lines[0]), "step": "x"}))


def cut_model(copy):
    file = copy / "low" / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-40])


def other_model(copy):
    config = json.loads((copy / "low" / "config.json").read_text())
    (copy / "low" / "config.json").write_text(json.dumps({**config, "model": "lenet5"}))


def unknown_model(copy):
    config = json.loads((copy / "low" / "config.json").read_text())
    (copy / "low" / "config.json").write_text(json.dumps({**config, "model": "lenet"}))


def no_lines(copy):
    (copy / "low" / "metrics.jsonl").unlink()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (cut_metrics, "metrics.jsonl: not readable as JSON"),
        (words_in_metrics, "metrics.jsonl: a line lacks the number 'train_loss'"),
        (odd_ranks, "ranks.jsonl: a line is damaged"),
        (ranks_of_words, "ranks.jsonl: a line is damaged"),
        (cut_model, "model.safetensors: the file is damaged"),
        (other_model, "model.safetensors"),
        (unknown_model, "known are alexnet"),
        (no_lines, "there is a model but no line"),
    ],
)
def test_damaged_runs(copy, damage, message, capsys):
    damage(copy)
    before = (copy / "low" / "report.html").read_bytes()
    assert main(["report", "low"]) == 2
    assert message in failure(capsys)
    assert (copy / "low" / "report.html").read_bytes() == before


def dropped(name):
    def drop(summary):
        del summary[name]

    return drop


def changed(**changes):
    return lambda summary: summary.update(changes)


@pytest.mark.parametrize(
    "damage",
    [
        *map(
            dropped, ("shape", "ranks", "file", "format", "trace", "weights", "settings", "agreement", "rank")
        ),
        changed(shape=[1, 2]),
        changed(shares=[1.0]),
        changed(trace=[{"seconds": "x", "relative_error": 1, "rank": 1}]),
        changed(trace=[1]),
        changed(rank_path=[{"rank": None, "relative_error": 1, "bic": 1, "evidence": 1}]),
        changed(seconds=None),
        changed(settings=[]),
        changed(agreement={"sentence": 1}),
        changed(core_consistency="high"),
        changed(core_consistency=[]),
        changed(degeneracy=None),
        changed(versions="new"),
        changed(observed=None),
        changed(observed=-1),
        changed(observed=True),
        changed(observed=217),
    ],
)
def test_damaged_summaries(copy, damage, capsys):
    file = copy / "cp" / "summary.json"
    summary = json.loads(file.read_text())
    damage(summary)
    file.write_text(json.dumps(summary))
    assert main(["report", "cp"]) == 2
    assert "cp" in failure(capsys)


def test_a_summary_that_is_no_json(copy, capsys):
    (copy / "cp" / "summary.json").write_text("[" * 10)
    assert main(["report", "cp"]) == 2
    assert "summary.json: not readable as JSON" in failure(capsys)
    (copy / "cp" / "summary.json").write_text("[]")
    assert main(["report", "cp"]) == 2
    assert "summary.json: not readable as JSON" in failure(capsys)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["nowhere"], "nowhere: there is no such folder or file"),
        (["."], "there is no run here, known are folders with config.json of rankfold train"),
        (["low", "cp"], "low is of rankfold train, cp of rankfold decompose"),
        (["low", "low"], "low is named twice"),
        (["low", "--out", "nowhere/page.html"], "cannot write there"),
        (["cube.npy"], "cube.npy: there is no run here"),
    ],
)
def test_what_cannot_be_reported(copy, words, message, capsys):
    assert main(["report", *words]) == 2
    assert message in failure(capsys)


def test_without_jinja(copy, monkeypatch, capsys):
    from rankfold.report.page import _render

    for name in [name for name in sys.modules if name.partition(".")[0] == "jinja2"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.setattr(_render, "_template", _render._template.__wrapped__)
    sentence = "no page: jinja2 is not installed; pip install 'rankfold[cli]'."
    assert main(["report", "low"]) == 2
    assert sentence in failure(capsys)
    assert main(["decompose", "cube.npy", "--rank", "1", "--device", "cpu", "--out", "new"]) == 0
    assert sentence in capsys.readouterr().out
    assert not (copy / "new" / "report.html").exists()
    assert (copy / "new" / "summary.json").exists()


def test_a_page_that_fails_is_no_failure_of_the_run(copy, monkeypatch):
    monkeypatch.setattr(_report, "write_page", lambda page, path: "no page: reasons.")
    assert _report.leave_page(copy / "low", Path("low")) == "no page: reasons."
    cut_metrics(copy)
    assert "no page: low" in (_report.leave_page(Path("low"), Path("low")) or "")


def test_every_kind_of_run_is_known_by_what_it_left(runs):
    kinds = {"low": "train", "cp": "decompose", "small.compression.json": "compress"}
    found = {path: [s.name for s in SOURCES.values() if s.holds(runs / path)] for path in kinds}
    assert found == {path: [name] for path, name in kinds.items()}
    assert set(kinds.values()) <= set(SOURCES)
    for source in SOURCES.values():
        assert not source.holds(runs / "nowhere")
        assert not source.holds(runs / "cube.npy")


def test_the_page_of_a_file_is_beside_it(runs):
    assert page_of(runs / "cube.npy") == runs / "cube.html"
    assert page_of(runs / "low") == runs / "low" / "report.html"
