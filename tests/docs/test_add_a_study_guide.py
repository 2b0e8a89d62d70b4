"""What the guide to a study shows is true: its study runs, keeps the contract of all studies, and its words hold."""

import json
import re
import runpy
import sys
from pathlib import Path

import pytest
from tests.studies import test_contract

from rankfold.cli import main
from rankfold.studies import STUDIES, Records, Study, StudyFolder, judge, verdict

GUIDE = (Path(__file__).parents[2] / "docs" / "add_a_study.md").read_text(encoding="utf-8")
(BLOCK,) = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
(CONSOLE,) = re.findall(r"```console\n(.*?)```", GUIDE, re.DOTALL)


@pytest.fixture
def study(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Study:
    """The study of the guide, registered among the others for one test."""
    monkeypatch.setattr(STUDIES, "_entries", dict(STUDIES))
    monkeypatch.chdir(tmp_path)
    Path("uniqueness.py").write_text(BLOCK, encoding="utf-8")
    found = runpy.run_path("uniqueness.py")["UNIQUENESS"]
    STUDIES.add(found)
    return found


def call(line: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line of the console; the program registers the study itself."""
    program, *words = line.removeprefix("$ python ").split()
    monkeypatch.setattr(sys, "argv", [program, *words])
    monkeypatch.setattr(STUDIES, "_entries", {n: s for n, s in STUDIES.items() if n != "uniqueness"})
    with pytest.raises(SystemExit) as end:
        runpy.run_path(program, run_name="__main__")
    assert end.value.code == 0


def test_the_study_runs_and_its_page_is_made_anew_without_running(
    study: Study, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = CONSOLE.splitlines()
    call(first, monkeypatch)
    assert "uniqueness: holds (3 of 3 checks hold), 15 of 15 cases" in capsys.readouterr().out
    content = json.loads(Path("runs/studies/uniqueness/study.json").read_text(encoding="utf-8"))
    assert [check["name"] for check in content["checks"]] == ["fit", "unique", "control"]
    card = Path("runs/studies/uniqueness/card.md")
    assert "**Verdict: holds**" in card.read_text(encoding="utf-8")
    Path("uniqueness.py").write_text(BLOCK.replace("most=0.9,", "most=0.1,"), encoding="utf-8")
    call(first, monkeypatch)
    assert "15 cases are in runs/studies/uniqueness already" in capsys.readouterr().out
    assert "**Verdict: holds in part**" in card.read_text(encoding="utf-8")
    call(second, monkeypatch)
    other = StudyFolder(Path("other/uniqueness")).read(study)
    assert other is not None
    assert {row["seed"] for row in other.rows} == {5, 6, 7, 8, 9}
    assert verdict(judge(study.checks, other.records(study))) == "holds"
    assert main(["report", "runs/studies/uniqueness", "other/uniqueness"]) == 0
    assert "Checks side by side" in Path("report.html").read_text(encoding="utf-8")
    records = other.records(study)
    half = Records(records.cases, other.rows[::2])
    assert study.tables(half)[0].rows
    assert {finding.holds for finding in judge(study.checks, half)} == {None}


def test_it_keeps_the_contract(study: Study) -> None:
    test_contract.test_words(study.name)
    test_contract.test_parameters_and_cases_are_plain_and_differ(study.name)
    test_contract.test_checks_have_names_and_bounds(study.name)
    test_contract.test_a_run_without_records_is_not_decided_and_shows(study.name)


def test_the_files_it_names_are_there() -> None:
    root = Path(__file__).parents[2]
    for file in ("src/rankfold/studies/_studies.py", "tests/studies/test_contract.py"):
        assert f"`{file}`" in GUIDE
        assert (root / file).is_file()
