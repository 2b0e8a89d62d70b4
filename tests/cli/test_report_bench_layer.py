"""The page that ``rankfold bench-layer --json`` leaves, and ``rankfold report`` on such files."""

import json
import re
import sys

import pytest
from tests.report.page.pages import HOSTILE, parsed

from rankfold._errors import CheckpointError
from rankfold.cli import _report, main
from rankfold.cli._report_bench_layer import read_bench
from rankfold.report.page import bench_page, render_page

WORDS = ["linear", "32", "24", "--batch", "2", "--ranks", "4", "8", "--threads", "1", "--device", "cpu"]


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    """The figures of a small layer, and their page."""
    place = tmp_path_factory.mktemp("bench") / "layer.json"
    assert main(["bench-layer", *WORDS, "--json", str(place)]) == 0
    return place


@pytest.fixture
def copy(file, tmp_path, monkeypatch):
    """The folder of both, to be damaged."""
    for path in (file, file.with_suffix(".html")):
        (tmp_path / path.name).write_bytes(path.read_bytes())
    monkeypatch.chdir(tmp_path)
    return tmp_path / file.name


def failure(capsys):
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert err.startswith("rankfold: ")
    return err


def page_at(path):
    return parsed(path.read_text(encoding="utf-8"))


def test_the_page_is_beside_the_file(file, capsys):
    content = json.loads(file.read_text())
    tree = page_at(file.with_suffix(".html"))
    assert tree.one("h1").text == "Linear 32 to 24"
    values = [node.text for node in tree.all("span") if node.get("class") == "value"]
    assert values[0] == f"{1000 * content['dense']:.3f} ms"
    rows = [[cell.text for cell in row.children] for row in tree.all("tr")]
    best = content["ranks"][0]
    assert any(row[:2] == ["4", f"{1000 * best['factorized']:.3f}"] for row in rows)
    assert content["verdict"] in tree.text
    codes = [node.text for node in tree.all("code")]
    command = "rankfold bench-layer linear 32 24 --batch 2 --ranks 4 8 --threads 1 --device cpu"
    assert content["command"] == command
    assert codes[-1].startswith(f"{command} --json ")
    assert codes[-1].endswith("layer.json")


def test_report_makes_the_same_page_again(copy, capsys):
    before = copy.with_suffix(".html").read_bytes()
    assert main(["report", "layer.json"]) == 0
    assert capsys.readouterr().out == "page: layer.html\n"
    # The file has moved, and the commands say where it is: nothing else differs.
    folder = re.compile(rb"<span>\S*(layer\S*\.json)</span>")
    assert folder.sub(rb"\1", copy.with_suffix(".html").read_bytes()) == folder.sub(rb"\1", before)


def test_side_by_side(copy, capsys):
    words = [*WORDS, "--training", "--json", "training.json"]
    assert main(["bench-layer", *words]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "page: training.html"
    assert main(["report", "layer.json", "training.json", "--out", "both.html"]) == 0
    tree = page_at(copy.parent / "both.html")
    assert tree.one("h1").text == "Linear 32 to 24, timed 2 times"
    assert "Measurements side by side" in [node.text for node in tree.all("caption")]


def refused(copy, content, capsys):
    before = copy.with_suffix(".html").read_bytes()
    copy.write_text(json.dumps(content))
    assert main(["report", "layer.json"]) == 2
    assert "layer.json: not readable as figures of rankfold bench-layer" in failure(capsys)
    assert copy.with_suffix(".html").read_bytes() == before


#: What stands in place of each kind of value, and cannot be one.
WRONG = {str: [None, 1, ["x"], "x"], float: ["x", None, -1.0, 0, True, float("nan")], list: [None, [], {}]}
WRONG |= {dict: [None, [], "x"], bool: [None, "yes", 1], int: [None, "1", 0, 1.5, True, 10**400]}


def test_every_field_is_needed_and_of_its_type(copy, capsys):
    good = copy.read_text()
    for key, value in json.loads(good).items():
        refused(copy, {other: one for other, one in json.loads(good).items() if other != key}, capsys)
        # A title or command may be any text; where low rank breaks even depends on the clock.
        for wrong in (
            ["x", [1]] if value is None else WRONG[type(value)][: 3 if key in ("title", "command") else None]
        ):
            refused(copy, {**json.loads(good), key: wrong}, capsys)


def test_every_field_of_a_rank_is_needed_and_of_its_type(copy, capsys):
    good = copy.read_text()
    for key, value in json.loads(good)["ranks"][1].items():
        content = json.loads(good)
        del content["ranks"][1][key]
        refused(copy, content, capsys)
        for wrong in WRONG[type(value)]:
            content = json.loads(good)
            content["ranks"][1][key] = wrong
            refused(copy, content, capsys)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.update(format="rankfold-bench-layer-2"),
        lambda content: content["ranks"].reverse(),
        lambda content: content["ranks"].append(content["ranks"][0]),
        lambda content: content.update(verdict="Low rank is always faster."),
        lambda content: content.update(break_even_rank=-1),
        lambda content: content["settings"].pop("training"),
        lambda content: content["settings"].update(batch="many"),
        lambda content: content.update(command="rankfold 'bench"),
    ],
)
def test_what_contradicts_itself_is_refused(copy, change, capsys):
    content = json.loads(copy.read_text())
    change(content)
    refused(copy, content, capsys)


def test_a_file_from_before_there_were_pages_says_what_to_do(copy, capsys):
    content = json.loads(copy.read_text())
    old = {"settings": {**content["settings"], "json": None}, "torch": "2.6"}
    old |= {key: content[key] for key in ("title", "dense", "ranks", "break_even_rank", "verdict")}
    refused(copy, old, capsys)
    copy.write_text(json.dumps(old))
    assert main(["report", "layer.json"]) == 2
    assert "'format'); restore it, or time the layer again." in failure(capsys)


@pytest.mark.parametrize("text", ["", "{", "[]", '{"settings": {}}', "\x00", "[" * 100_000])
def test_json_of_something_else_is_no_run(copy, text, capsys):
    copy.write_text(text)
    assert main(["report", "layer.json"]) == 2
    assert "there is no run here, known are" in failure(capsys)


@pytest.mark.parametrize("end", [60, 400, -3])
def test_half_a_file_is_refused(copy, end, capsys):
    copy.write_text(copy.read_text()[:end])
    assert main(["report", "layer.json"]) == 2
    assert "not readable as figures of rankfold bench-layer (JSONDecodeError" in failure(capsys)


@pytest.mark.parametrize("word", HOSTILE)
def test_hostile_words_of_a_file_are_text(copy, word):
    content = json.loads(copy.read_text())
    content |= {"title": word, "versions": {word: word}}
    content["settings"] |= {word: word, "kind": word}
    copy.write_text(json.dumps(content))
    text = render_page(bench_page([read_bench(copy, word)], ["layer.json"]))
    assert text.encode()
    assert len(list(parsed(text).all("script"))) == 1
    assert not list(parsed(text).all("img"))


def test_a_page_that_cannot_be_made_fails_no_measurement(tmp_path, monkeypatch, capsys):
    def refuse(page, path):
        raise CheckpointError(f"{path}: cannot write there (No space left on device).")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_report, "write_page", refuse)
    assert main(["bench-layer", *WORDS, "--json", "layer.json"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last == "no page: layer.html: cannot write there (No space left on device)."
    assert [path.name for path in tmp_path.iterdir()] == ["layer.json"]


def test_without_jinja(tmp_path, monkeypatch, capsys):
    from rankfold.report.page import _render

    monkeypatch.chdir(tmp_path)
    for name in [name for name in sys.modules if name.partition(".")[0] == "jinja2"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.setattr(_render, "_template", _render._template.__wrapped__)
    assert main(["bench-layer", *WORDS, "--json", "layer.json"]) == 0
    assert "no page: jinja2 is not installed" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["layer.json"]
