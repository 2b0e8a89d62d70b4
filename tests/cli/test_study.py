"""``rankfold study``: lists, runs, goes on, and says in one sentence what is wrong."""

import dataclasses
import json
import re

import pytest
from tests.studies.small import SMALL

from rankfold import NonFiniteError
from rankfold.cli import main
from rankfold.studies import STUDIES


@pytest.fixture(autouse=True)
def _studies(monkeypatch, tmp_path):
    """Two small studies instead of the real ones."""
    other = dataclasses.replace(SMALL, name="other", title="Others")
    monkeypatch.setattr(STUDIES, "_entries", {"small": SMALL, "other": other})
    monkeypatch.chdir(tmp_path)


def replace_small(monkeypatch, **changed):
    monkeypatch.setitem(STUDIES._entries, "small", dataclasses.replace(SMALL, **changed))


def error_of(capsys):
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert text.startswith("rankfold: ")
    return text


def test_list(capsys, tmp_path):
    assert main(["study", "--list"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"small\s+Squares grow\.", text)
    assert not (tmp_path / "runs").exists()


def test_a_study_leaves_a_folder_and_a_line(capsys, tmp_path):
    assert main(["study", "small", "--threads", "1"]) == 0
    text = capsys.readouterr().out
    assert "small: holds in part (1 of 2 checks hold, 1 not part of this size), 3 of 3 cases" in text
    assert "did not hold: S2\n" in text
    assert "page: runs/studies/small/report.html" in text
    assert "no page" not in text
    assert "already" not in text
    assert "Verdicts" not in text
    folder = tmp_path / "runs" / "studies"
    assert sorted(file.name for file in (folder / "small").iterdir()) == [
        "card.md",
        "figure.png",
        "figure.svg",
        "report.html",
        "study.json",
    ]
    assert "[small](small/card.md)" in (folder / "README.md").read_text()
    content = json.loads((folder / "small" / "study.json").read_text())
    assert content["command"] == "rankfold study small --threads 1"
    assert content["facts"]["threads"] == 1


def test_all_runs_all(tmp_path, capsys):
    assert main(["study", "--all", "--out", "there"]) == 0
    assert "Verdicts" in capsys.readouterr().out
    index = (tmp_path / "there" / "README.md").read_text()
    assert "[small]" in index
    assert "[other]" in index


def test_a_second_call_runs_nothing_again(monkeypatch, capsys):
    assert main(["study", "small"]) == 0
    replace_small(monkeypatch, run=lambda case, setting: pytest.fail("ran again"))
    assert main(["study", "small"]) == 0
    text = capsys.readouterr().out
    assert "small: 3 cases are in runs/studies/small already; --overwrite" in text
    assert "3 of 3 cases" in text


def test_an_interrupted_study_goes_on(monkeypatch, capsys, tmp_path):
    def stopped(case, setting):
        if case["n"] == 2:
            raise KeyboardInterrupt
        return SMALL.run(case, setting)

    replace_small(monkeypatch, run=stopped)
    assert main(["study", "small"]) == 130
    assert "2 of 3 cases of small" in error_of(capsys)
    card = (tmp_path / "runs" / "studies" / "small" / "card.md").read_text()
    assert "1 cases are missing" in card
    page = tmp_path / "runs" / "studies" / "small" / "report.html"
    assert "stopped before its end: 1 case is missing" in page.read_text(encoding="utf-8")
    ran = []
    replace_small(monkeypatch, run=lambda case, setting: ran.append(case) or SMALL.run(case, setting))
    assert main(["study", "small"]) == 0
    assert [case["n"] for case in ran] == [2]


def test_a_run_in_two_parts_names_both_machines_and_a_complete_one_keeps_its_command(monkeypatch, tmp_path):
    def stopped(case, setting):
        if case["n"] == 2:
            raise KeyboardInterrupt
        return SMALL.run(case, setting)

    def stored():
        return json.loads((tmp_path / "runs" / "studies" / "small" / "study.json").read_text())

    monkeypatch.setattr("rankfold.cli._study.__version__", "0.0.1")
    replace_small(monkeypatch, run=stopped)
    assert main(["study", "small", "--threads", "1"]) == 130
    assert main(["study", "small", "--threads", "1"]) == 130
    assert stored()["facts"]["rankfold"] == "0.0.1"
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(STUDIES, "_entries", {"small": SMALL})
    monkeypatch.setattr("rankfold.cli._study.__version__", "0.0.2")
    for words in (["--threads", "1"], []):
        assert main(["study", "small", *words]) == 0
        assert stored()["facts"]["rankfold"] == "0.0.1, then 0.0.2"
        assert stored()["command"] == "rankfold study small --threads 1"


def test_full_takes_the_other_parameters_and_reports_what_is_missing(capsys, tmp_path):
    assert main(["study", "small", "--full"]) == 2
    captured = capsys.readouterr()
    assert "2 cases could not be run: numbers: 7 is not here; bring it." in captured.out
    assert "some cases of small could not be run here" in captured.err
    assert "8 of 10 cases" in (tmp_path / "runs" / "studies" / "small" / "card.md").read_text()


def test_seed_and_overwrite(capsys, tmp_path):
    assert main(["study", "small"]) == 0
    capsys.readouterr()
    assert main(["study", "small", "--seed", "5"]) == 2
    assert "holds a run of other settings (quick size, seed 0)" in error_of(capsys)
    assert main(["study", "small", "--seed", "5", "--overwrite"]) == 0
    content = json.loads((tmp_path / "runs" / "studies" / "small" / "study.json").read_text())
    assert content["parameters"]["seed"] == 5
    assert content["records"][0]["square"] == 5


def test_a_study_that_fails_keeps_what_it_has(monkeypatch, capsys, tmp_path):
    def fails(case, setting):
        if case["n"] == 1:
            raise NonFiniteError("layer conv1: NaN at step 3; lower the learning rate.")
        return SMALL.run(case, setting)

    replace_small(monkeypatch, run=fails)
    assert main(["study", "small"]) == 2
    assert "study small: layer conv1: NaN at step 3" in error_of(capsys)
    content = json.loads((tmp_path / "runs" / "studies" / "small" / "study.json").read_text())
    assert len(content["records"]) == 1


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ([], "got none of names of studies, --all and --list, allowed is one; rankfold study --list"),
        (["small", "--all"], "got several"),
        (["--all", "--list"], "got several"),
        (["unknown"], "study: got 'unknown', known are other, small"),
        (["small", "small"], "named twice"),
        (["small", "--seed", "-1"], "--seed is -1"),
        (["small", "--threads", "0"], "--threads is 0"),
        (["small", "--device", "tpu"], "tpu"),
    ],
)
def test_bad_words(words, sentence, capsys, tmp_path):
    assert main(["study", *words]) == 2
    assert sentence in error_of(capsys)
    assert not (tmp_path / "runs").exists()


def test_a_place_that_is_a_file(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    assert main(["study", "small", "--out", "file"]) == 2
    assert "cannot be made" in error_of(capsys)
