"""The page that ``rankfold study`` leaves, and ``rankfold report`` on folders of studies."""

import dataclasses
import json
import re
import shutil
from pathlib import Path

import pytest
from tests.report.page.pages import HOSTILE, parsed
from tests.studies.small import SMALL

from rankfold._errors import CheckpointError
from rankfold.cli import _report, main
from rankfold.cli._report_study import read_study
from rankfold.report.page import render_page, study_page
from rankfold.studies import STUDIES, StudyFolder
from rankfold.studies._card import allowed, held

DOCS = Path(__file__).parents[2] / "docs" / "studies"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A run of a small study, one with another seed and one of the full size, and one of another study."""
    folder = tmp_path_factory.mktemp("studies")
    other = dataclasses.replace(SMALL, name="other", title="Others", claim="Others grow.")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(STUDIES, "_entries", {"small": SMALL, "other": other})
        for words, out in (
            (["small", "other"], "a"),
            (["small", "--seed", "1"], "b"),
            (["small", "--full"], "full"),
        ):
            # Two cases of the full size need what is not here.
            assert main(["study", *words, "--threads", "1", "--out", str(folder / out)]) in (0, 2)
    return folder


@pytest.fixture
def copy(runs, tmp_path, monkeypatch):
    """The folders, to be damaged; no study is known any more."""
    shutil.copytree(runs, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    monkeypatch.setattr(STUDIES, "_entries", {})
    return tmp_path / "copy"


def failure(capsys):
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert err.startswith("rankfold: ")
    return err


def page_at(file):
    return parsed(file.read_text(encoding="utf-8"))


def captions(tree):
    return [node.text for node in tree.all("caption")]


def test_study_leaves_a_page(runs):
    tree = page_at(runs / "a" / "small" / "report.html")
    assert tree.one("h1").text == "Squares grow"
    # The growth is drawn, and has a table below the drawing as well.
    assert captions(tree)[:4] == ["Checks", "Their growth", "Squares", "Their growth"]
    rows = [[cell.text for cell in row.children] for row in tree.one("tbody").all("tr")]
    assert rows[0] == ["S2", "no", "1", ">= 2", "the square of 1 is 2"]
    (image,) = tree.all("img")
    assert image.get("src").startswith("data:image/svg+xml;base64,")
    assert [node.one("strong").text for node in tree.all("figure")] == ["Squares grow", "Their growth"]
    assert "rankfold study small --threads 1" in [node.text for node in tree.all("code")]
    assert "2 of 10 cases could not be run here" in page_at(runs / "full" / "small" / "report.html").text


def test_report_makes_the_same_page_again_without_the_code_of_the_study(copy, capsys):
    before = page_at(copy / "a" / "small" / "report.html").one("main").text
    assert main(["report", "a/small"]) == 0
    assert capsys.readouterr().out == "page: a/small/report.html\n"
    after = page_at(copy / "a" / "small" / "report.html").one("main").text
    # The folder has moved, and the commands say where it is: nothing else differs.
    assert re.sub(r"\S*a(?=/small|-seed-1|-full)", "", after) == re.sub(
        r"\S*/a(?=/small|-seed-1|-full)", "", before
    )


def test_the_record_is_what_the_study_says(runs):
    stored = StudyFolder(runs / "full" / "small").read(SMALL)
    assert stored is not None
    record = read_study(runs / "full" / "small", "run")
    assert (record.cases, record.done, len(record.missing), record.left) == (10, 8, 2, 0)
    assert record.missing[0] == ("n 7, seed 0", "numbers: 7 is not here; bring it.")
    assert record.parameters == stored.parameters
    assert record.held == "1 of 2 checks hold, 1 not decided"
    assert [check.allowed for check in record.checks] == ["4 to 4", ">= 2", "<= 49"]
    assert [table.rows[3] for table in record.tables] == [(3, 0, 9), (3, 9)]
    assert record.figure == (runs / "full" / "small" / "figure.svg").read_text()


def test_runs_of_one_study_side_by_side(copy, capsys):
    assert main(["report", "a/small", "b/small", "full/small", "--out", "all.html"]) == 0
    tree = page_at(copy / "all.html")
    assert {"Runs side by side", "Checks side by side", "Parameters in which the runs differ"} <= set(
        captions(tree)
    )
    heads = [node.text for node in tree.all("th")]
    assert {"a/small", "b/small", "full/small"} <= set(heads)


def test_different_studies_make_a_list(copy, capsys):
    assert main(["report", "a/small", "a/other"]) == 0
    tree = page_at(copy / "report.html")
    assert tree.one("h1").text == "2 studies"
    assert captions(tree)[0] == "Verdicts"
    assert [node.text for node in tree.all("summary") if node.text.endswith("holds in part")] == [
        "small: holds in part",
        "other: holds in part",
    ]


def test_a_study_and_a_run_of_another_kind(copy, capsys):
    (copy / "cube").mkdir()
    (copy / "cube" / "summary.json").write_text("{}")
    assert main(["report", "a/small", "cube"]) == 2
    assert "a/small is of rankfold study, cube of rankfold decompose" in failure(capsys)


def stored(copy):
    return json.loads((copy / "a" / "small" / "study.json").read_text())


def refused(copy, content, capsys):
    before = (copy / "a" / "small" / "report.html").read_bytes()
    (copy / "a" / "small" / "study.json").write_text(json.dumps(content))
    assert main(["report", "a/small"]) == 2
    err = failure(capsys)
    assert "study.json: not readable as the run of a study" in err
    assert "run the study again, which keeps the cases that are there" in err
    assert (copy / "a" / "small" / "report.html").read_bytes() == before


#: What stands in place of each kind of value, and cannot be one.
WRONG = {str: [None, 1, ["x"]], int: ["1", None, -1, 2.5, True], list: [None, "x", {}], dict: [None, [], "x"]}
WRONG |= {float: ["x", None, -1.0, True], bool: [1, "yes"]}


def test_every_field_is_needed_and_of_its_type(copy, capsys):
    for key, value in stored(copy).items():
        content = stored(copy)
        del content[key]
        refused(copy, content, capsys)
        for wrong in WRONG[type(value)]:
            refused(copy, {**stored(copy), key: wrong}, capsys)


@pytest.mark.parametrize("part", ["checks", "tables", "missing"])
def test_every_field_of_a_part_is_needed_and_of_its_type(copy, part, capsys):
    shutil.copy(copy / "full" / "small" / "study.json", copy / "a" / "small" / "study.json")
    good = stored(copy)
    for key, value in good[part][0].items():
        content = json.loads(json.dumps(good))
        del content[part][0][key]
        refused(copy, content, capsys)
        # Bounds and values may be missing, and what is measured may be below zero.
        optional = key in ("least", "most", "value", "reason") and part == "checks"
        for wrong in [["x"], {"x": 1}] if optional else WRONG[type(value)][:2]:
            content = json.loads(json.dumps(good))
            content[part][0][key] = wrong
            refused(copy, content, capsys)


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content.update(format="rankfold-study-2"),
        lambda content: content.update(verdict="holds"),
        lambda content: content.update(cases=2),
        lambda content: content.update(cases=10**400),
        lambda content: content.update(seconds=float("nan")),
        lambda content: content["checks"][0].update(least=None, most=None),
        lambda content: content["checks"][0].update(value=float("inf")),
        lambda content: content["tables"][1]["rows"][0].update(n=1),
        lambda content: content["tables"][1]["rows"][0].update(n="a"),
        lambda content: content["tables"][1].update(rows=[]),
        lambda content: content["remarks"].append(1),
    ],
)
def test_what_contradicts_itself_is_refused(copy, change, capsys):
    content = stored(copy)
    change(content)
    refused(copy, content, capsys)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "1", '"x"', "[" * 100_000, "\x00", "\ufeff{}"])
def test_what_is_no_run_of_a_study(copy, text, capsys):
    (copy / "a" / "small" / "study.json").write_text(text)
    assert main(["report", "a/small"]) == 2
    assert "not readable as the run of a study" in failure(capsys)


def test_a_file_from_before_there_were_pages_says_what_to_do(copy, monkeypatch, capsys):
    """Such a file has no tables; the study writes it anew and runs nothing."""
    content = {key: value for key, value in stored(copy).items() if key not in ("tables", "remarks", "cases")}
    refused(copy, content, capsys)
    monkeypatch.setattr(
        STUDIES, "_entries", {"small": dataclasses.replace(SMALL, run=lambda *_: pytest.fail("ran"))}
    )
    assert main(["study", "small", "--threads", "1", "--out", "a"]) == 0
    assert main(["report", "a/small"]) == 0


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"GIF89a", b"<html><script>1</script></html>"])
def test_a_figure_that_is_none_is_refused(copy, content, capsys):
    (copy / "a" / "small" / "figure.svg").write_bytes(content)
    assert main(["report", "a/small"]) == 2
    assert "study.json: not readable" in failure(capsys)


def test_without_a_figure_there_is_a_page(copy, capsys):
    (copy / "a" / "small" / "figure.svg").unlink()
    assert main(["report", "a/small"]) == 0
    assert not list(page_at(copy / "a" / "small" / "report.html").all("img"))


@pytest.mark.parametrize("word", HOSTILE)
def test_hostile_words_of_a_file_are_text(copy, word):
    content = stored(copy)
    content |= {
        "title": word,
        "claim": word,
        "paper": word,
        "study": word,
        "command": word,
        "remarks": [word],
    }
    content["facts"] = {word or "name": word}
    content["parameters"] = {word or "name": {word or "name": word}, "seed": word}
    content["checks"][0] |= {"name": word, "statement": word, "reason": word}
    content["tables"][0] |= {"title": word, "rows": [{word or "name": word, "n": 1}]}
    content |= {"missing": [{"case": {word or "name": word}, "reason": word}], "cases": 5}
    (copy / "a" / "small" / "study.json").write_text(json.dumps(content))
    text = render_page(study_page([read_study(copy / "a" / "small", word)], ["run"]))
    assert text.encode()
    tree = parsed(text)
    assert len(list(tree.all("script"))) == len(list(tree.all("img"))) == 1
    assert "<script>document" not in text


def test_a_page_that_cannot_be_made_fails_no_study(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(STUDIES, "_entries", {"small": SMALL})
    monkeypatch.chdir(tmp_path)

    def refuse(page, path):
        raise CheckpointError(f"{path}: cannot write there (No space left on device).")

    monkeypatch.setattr(_report, "write_page", refuse)
    assert main(["study", "small"]) == 0
    out = capsys.readouterr().out
    assert "no page: runs/studies/small/report.html: cannot write there (No space left on device)." in out
    assert "page: runs/studies/small/card.md\n" in out
    assert not (tmp_path / "runs/studies/small/report.html").exists()


@pytest.mark.parametrize("name", sorted(path.parent.name for path in DOCS.glob("*/study.json")))
def test_the_published_studies_have_pages(name):
    record = read_study(DOCS / name, name)
    study = STUDIES[name]
    run = StudyFolder(DOCS / name).read(study)
    assert run is not None
    assert record.remarks == study.remarks
    assert record.done == record.cases == len(run.rows)
    text = render_page(study_page([record], [f"docs/studies/{name}"]))
    assert len(text.encode()) < 1e6
    assert text.count("<img") == 1


def test_all_published_studies_fit_on_one_page():
    names = sorted(path.parent.name for path in DOCS.glob("*/study.json"))
    records = [read_study(DOCS / name, name) for name in names]
    text = render_page(study_page(records, [f"docs/studies/{name}" for name in names]))
    assert len(text.encode()) < 2e6


def test_words_of_checks_are_those_of_the_card(runs):
    from rankfold.studies import judge

    run = StudyFolder(runs / "a" / "small").read(SMALL)
    assert run is not None
    findings = judge(SMALL.checks, run.records(SMALL))
    record = read_study(runs / "a" / "small", "run")
    assert record.held == held(findings)
    assert [check.allowed for check in record.checks] == [allowed(finding) for finding in findings]
