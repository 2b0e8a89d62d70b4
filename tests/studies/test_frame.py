"""Cases, records, checks, verdicts, cards and files of any study."""

import dataclasses
import json
import math
import re
import sys

import pytest
from tests.studies.small import SMALL

from rankfold import CheckpointError, NonFiniteError, OptionError
from rankfold._registry import Registry
from rankfold.studies import (
    Check,
    Finding,
    NotPart,
    NotRun,
    Records,
    Setting,
    StudyFolder,
    StudyRun,
    Table,
    card,
    judge,
    run_study,
    summary_of,
    verdict,
    write_index,
)


def fresh(size="quick", **changed):
    parameters = {**(SMALL.full if size == "full" else SMALL.quick), **changed}
    return StudyRun(study="small", size=size, parameters=parameters, command="rankfold study small")


def done(size="quick", **changed):
    return run_study(SMALL, fresh(size, **changed), Setting())


# -- records ---------------------------------------------------------------------------------------------


def test_records_come_in_the_order_of_the_cases():
    records = Records([{"n": 0}, {"n": 1}], [{"n": 1, "x": 5}, {"n": 0, "x": 3}])
    assert [row["x"] for row in records.where()] == [3, 5]
    assert [row["x"] for row in records.where(lambda case: case["n"] > 0)] == [5]
    assert records.missing == []


def test_a_check_does_not_judge_a_part():
    records = Records([{"n": 0}, {"n": 1}], [{"n": 1, "x": 5}])
    with pytest.raises(NotRun, match="1 of 2 cases"):
        records.where()
    with pytest.raises(NotPart, match="not part of this size"):
        records.where(n=3)
    assert [row["x"] for row in records.found()] == [5]
    assert records.missing == [{"n": 0}]


def test_cases_of_several_parts_do_not_mix():
    cases = [{"part": "a", "n": 0}, {"part": "b", "m": 0}]
    records = Records(cases, [{"part": "b", "m": 0, "x": 1}])
    assert records.missing == [{"part": "a", "n": 0}]
    assert [row["x"] for row in records.where(part="b")] == [1]


def test_a_tuple_in_a_case_is_the_list_of_the_file():
    assert Records([{"shape": (1, 2)}], [{"shape": [1, 2], "x": 1}]).where()[0]["x"] == 1


# -- checks ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "least", "most", "holds"),
    [
        (1.0, 1.0, 1.0, True),
        (1.0, None, 0.5, False),
        (1.0, 1.5, None, False),
        (math.nan, 0, 1, False),
        (math.inf, 0, None, False),
    ],
)
def test_bounds_are_inclusive_and_nothing_but_numbers_holds(value, least, most, holds):
    check = Check(name="c", statement="s", measure=lambda records: value, least=least, most=most)
    (finding,) = judge([check], Records([], []))
    assert finding.holds is holds
    assert (finding.value is None) is not math.isfinite(value)


@pytest.mark.parametrize(
    ("outcomes", "words"),
    [
        ([True, True], "holds"),
        ([True, False], "holds in part"),
        ([False, None], "does not hold"),
        ([True, None], "not decided"),
        ([True, False, None], "holds in part"),
        ([], "not decided"),
    ],
)
def test_verdict(outcomes, words):
    findings = [
        Finding(name="c", statement="s", least=0, most=None, value=1.0, holds=holds) for holds in outcomes
    ]
    assert verdict(findings) == words


def test_checks_of_another_size_do_not_count():
    records = done().records(SMALL)
    findings = judge(SMALL.checks[::2], records)
    assert [finding.part for finding in findings] == [True, False]
    assert verdict(findings) == "holds"
    text = card(dataclasses.replace(SMALL, checks=SMALL.checks[::2]), done())
    assert "**Verdict: holds** (1 of 1 checks hold, 1 not part of this size)." in text
    assert "Every check of this size held." in text


# -- runs ------------------------------------------------------------------------------------------------


def test_a_run_in_two_parts_is_the_run():
    kept = []

    def stop(run, done, total):
        kept.append(run)
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_study(SMALL, fresh(), Setting(), after_case=stop)
    assert len(kept[-1].rows) == 2
    seen = []
    rest = run_study(
        SMALL, kept[-1], Setting(), after_case=lambda run, done, total: seen.append((done, total))
    )
    assert rest.rows == done().rows
    assert seen == [(2, 3), (3, 3)]


def test_cases_that_cannot_be_run_are_named_and_tried_again():
    run = done("full")
    assert [missing.case["n"] for missing in run.missing] == [7, 8]
    assert len(run.rows) == 8
    again = run_study(SMALL, run, Setting())
    assert again.rows == run.rows
    assert again.missing == run.missing


def test_nan_is_refused_with_the_case():
    study = dataclasses.replace(SMALL, run=lambda case, setting: {"square": math.nan})
    with pytest.raises(NonFiniteError, match=r"study small.*'n': 0"):
        run_study(study, fresh(), Setting())


# -- cards and files -------------------------------------------------------------------------------------


def test_the_card_says_what_was_run_and_what_did_not_hold():
    text = card(SMALL, done("full"))
    assert "**Verdict: holds in part** (1 of 2 checks hold, 1 not decided)." in text
    assert "Claim: Squares grow." in text
    assert "Paper: Euclid 300 BC, Elements." in text
    assert "Run: `rankfold study small`, full size, 8 of 10 cases" in text
    assert "- n 7, seed 0: numbers: 7 is not here; bring it." in text
    failures = text[text.index("## Where it did not hold") : text.index("## Remarks")]
    assert "S2: the square of 1 is 2; measured 1, allowed >= 2." in failures
    assert "S3: the square of 7 is 49; not decided: 1 of 1 cases have not been run." in failures
    assert "S1" not in failures


def test_the_card_explains_before_it_lists():
    text = card(SMALL, fresh(inner={"rates": [1, 2], "deep": {"on": True}}))
    assert re.findall(r"^## (.*)", card(SMALL, done()), re.MULTILINE) == [
        "Checks",
        "Where it did not hold",
        "Remarks",
        "In numbers",
        "Parameters",
    ]
    assert "| inner: rates | [1, 2] |\n| inner: deep: on | True |" in text


def test_checks_of_another_size_come_last():
    text = card(dataclasses.replace(SMALL, checks=SMALL.checks[::-1]), done())
    assert re.findall(r"^\| (S\d) ", text, re.MULTILINE) == ["S2", "S1", "S3"]


def test_a_stopped_run_says_so():
    run = dataclasses.replace(done(), rows=done().rows[:1])
    assert "stopped before its end: 2 cases are missing" in card(SMALL, run)
    assert summary_of(SMALL, run)["verdict"] == "not decided"


def test_a_card_without_records(tmp_path):
    assert "figure.svg" not in card(SMALL, fresh())
    folder = StudyFolder(tmp_path / "small")
    assert "no records" in (folder.write_pages(SMALL, fresh()) or "")
    assert not (folder.path / "figure.png").exists()


def test_files_come_back_and_are_the_same_every_time(tmp_path):
    folder = StudyFolder(tmp_path / "deep" / "small")
    assert folder.read(SMALL) is None
    run = done("full")
    folder.write_records(SMALL, run)
    stored = folder.read(SMALL)
    assert stored is not None
    assert stored.rows == run.rows
    assert [dict(one.case) for one in stored.missing] == [dict(one.case) for one in run.missing]
    assert (stored.size, stored.parameters, stored.command) == (run.size, run.parameters, run.command)
    assert folder.write_pages(SMALL, stored) is None
    first = {file.name: file.read_bytes() for file in folder.path.iterdir()}
    assert sorted(first) == ["card.md", "figure.png", "figure.svg", "study.json"]
    folder.write_pages(SMALL, stored)
    assert {file.name: file.read_bytes() for file in folder.path.iterdir()} == first
    content = json.loads(folder.json.read_text())
    assert content["verdict"] == "holds in part"
    assert [check["holds"] for check in content["checks"]] == [True, False, None]
    assert (content["cases"], content["remarks"]) == (10, ["Nothing to add."])
    assert [(table["title"], table["drawn"]) for table in content["tables"]] == [
        ("Squares", False),
        ("Their growth", True),
    ]
    assert content["tables"][1]["rows"][2] == {"n": 2, "square": 4}


def test_a_table_without_a_number_is_stored_without_one(tmp_path):
    folder = StudyFolder(tmp_path)
    rows = [{"n": 1, "mean": math.nan}, {"n": 2, "mean": math.inf}]
    tables = [Table("Means", rows), Table("Nothing", [])]
    folder.write_records(dataclasses.replace(SMALL, tables=lambda records: tables), done())
    (table,) = json.loads(folder.json.read_text())["tables"]
    assert table == {
        "title": "Means",
        "drawn": False,
        "rows": [{"n": 1, "mean": None}, {"n": 2, "mean": None}],
    }


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"format": "rankfold-study-2"}',
        '{"format": "rankfold-study-1", "study": "small"}',
        "\x00",
    ],
)
def test_damaged_files_are_refused(tmp_path, text):
    folder = StudyFolder(tmp_path)
    folder.json.write_text(text)
    with pytest.raises(CheckpointError, match=r"not readable as the run of a study.*--overwrite"):
        folder.read(SMALL)


def test_a_record_that_is_no_object_is_refused(tmp_path):
    folder = StudyFolder(tmp_path)
    folder.write_records(SMALL, done())
    content = json.loads(folder.json.read_text())
    content["records"][0] = [["n", 0]]
    folder.json.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match="not readable"):
        folder.read(SMALL)


def test_the_file_of_another_study_is_refused(tmp_path):
    folder = StudyFolder(tmp_path)
    folder.write_records(SMALL, done())
    with pytest.raises(CheckpointError, match="holds the study small, not other"):
        folder.read(dataclasses.replace(SMALL, name="other"))


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="cannot be made"):
        StudyFolder(tmp_path / "file" / "small").write_records(SMALL, done())


def test_the_index_lists_what_is_there(tmp_path):
    studies = Registry("study", SMALL, dataclasses.replace(SMALL, name="absent"))
    StudyFolder(tmp_path / "small").write_records(SMALL, done())
    write_index(studies, tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert (
        "| [small](small/card.md) | Squares grow. | holds in part "
        "| 1 of 2 checks hold, 1 not part of this size | 3 of 3 | quick |" in text
    )
    assert "absent" not in text


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda content: content.update(seconds=float("inf")), "not readable"),
        (lambda content: content["records"][0].update(square=float("nan")), "not readable"),
        (lambda content: content.update(parameters={}), "no run of this version.*KeyError"),
        (lambda content: content["records"][2].pop("square"), "no run of this version.*KeyError"),
        (lambda content: content["records"][2].update(square=None), "no run of this version.*TypeError"),
        (
            lambda content: content["records"].append({"n": 9, "seed": 0, "square": 81}),
            "1 records belong to none",
        ),
        (lambda content: content["records"].append(content["records"][0]), "1 records .* are there twice"),
    ],
)
def test_records_that_are_not_of_this_version_are_refused(tmp_path, change, words):
    folder = StudyFolder(tmp_path)
    folder.write_records(SMALL, done())
    content = json.loads(folder.json.read_text())
    change(content)
    folder.json.write_text(json.dumps(content))
    with pytest.raises(CheckpointError, match=words):
        folder.read(SMALL)


def test_a_file_that_nests_without_end_is_refused(tmp_path):
    folder = StudyFolder(tmp_path)
    folder.json.write_text("[" * 100_000)
    with pytest.raises(CheckpointError, match="not readable"):
        folder.read(SMALL)


def test_a_damaged_neighbour_does_not_keep_the_others_from_the_index(tmp_path):
    studies = Registry("study", SMALL, dataclasses.replace(SMALL, name="other"))
    StudyFolder(tmp_path / "small").write_records(SMALL, done())
    (tmp_path / "other").mkdir()
    StudyFolder(tmp_path / "other").json.write_text("{")
    write_index(studies, tmp_path)
    text = (tmp_path / "README.md").read_text()
    assert "| holds in part " in text
    assert "| not readable " in text


def test_without_a_figure_the_card_shows_none(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert "not installed" in (StudyFolder(tmp_path).write_pages(SMALL, done()) or "")
    assert "figure.svg" not in StudyFolder(tmp_path).card.read_text()


def test_parameters_of_other_names_are_refused():
    with pytest.raises(
        OptionError, match="study small: got parameters seed, allowed are exactly seed, count"
    ):
        run_study(SMALL, StudyRun(study="small", size="own", parameters={"seed": 1}), Setting())
