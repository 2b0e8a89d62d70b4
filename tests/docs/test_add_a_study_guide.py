"""What the guide to a study shows is true: its study runs, keeps the contract of all studies, and its words hold."""

import json
import runpy
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.docs.pages import ROOT, Shown, as_before, run_command, text_of
from tests.studies import test_contract

from rankfold.cli import main
from rankfold.studies import STUDIES, Records, Study, StudyFolder, judge, verdict

PAGE = "docs/add_a_study.md"
GUIDE = text_of(PAGE)


@pytest.fixture
def study(shown: Shown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Study]:
    """The study of the guide, registered among the others for one test, which has its files to itself."""
    shutil.copytree(shown.folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    found = runpy.run_path("uniqueness.py")["UNIQUENESS"]
    with as_before(tmp_path):
        STUDIES.add(found)
        yield found


def test_the_study_runs(shown: Shown, study: Study) -> None:
    first, _ = shown.printed.values()
    assert "uniqueness: holds (3 of 3 checks hold), 15 of 15 cases" in first
    content = json.loads(Path("runs/studies/uniqueness/study.json").read_text(encoding="utf-8"))
    assert [check["name"] for check in content["checks"]] == ["fit", "unique", "control"]
    other = StudyFolder(Path("other/uniqueness")).read(study)
    assert other is not None
    assert {row["seed"] for row in other.rows} == {5, 6, 7, 8, 9}
    assert main(["report", "runs/studies/uniqueness", "other/uniqueness"]) == 0
    assert "Checks side by side" in Path("report.html").read_text(encoding="utf-8")
    records = other.records(study)
    assert verdict(judge(study.checks, records)) == "holds"
    half = Records(records.cases, other.rows[::2])
    assert study.tables(half)[0].rows
    assert {finding.holds for finding in judge(study.checks, half)} == {None}


def test_its_page_is_made_anew_without_running(
    shown: Shown, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(shown.folder, tmp_path, dirs_exist_ok=True)
    card, program = Path("runs/studies/uniqueness/card.md"), Path("uniqueness.py")
    assert "**Verdict: holds**" in card.read_text(encoding="utf-8")
    text = program.read_text(encoding="utf-8")
    program.write_text(text.replace("most=0.9,", "most=0.1,"), encoding="utf-8")
    with as_before(tmp_path):
        assert "15 cases are in runs/studies/uniqueness already" in run_command("python uniqueness.py")
    assert "**Verdict: holds in part**" in card.read_text(encoding="utf-8")


def test_it_keeps_the_contract(study: Study) -> None:
    test_contract.test_words(study.name)
    test_contract.test_parameters_and_cases_are_plain_and_differ(study.name)
    test_contract.test_checks_have_names_and_bounds(study.name)
    test_contract.test_a_run_without_records_is_not_decided_and_shows(study.name)


def test_the_files_it_names_are_there() -> None:
    for file in ("src/rankfold/studies/_studies.py", "tests/studies/test_contract.py"):
        assert f"`{file}`" in GUIDE
        assert (ROOT / file).is_file()
