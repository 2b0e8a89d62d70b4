"""Weights as elementwise products: the study at a tiny size, and how its methods make networks sparse."""

from typing import Any

import pytest
from matplotlib.figure import Figure

from rankfold.studies import Records, Setting, StudyRun, judge, run_study
from rankfold.studies._deep_factorization import DEEP_FACTORIZATION
from rankfold.studies._deep_factorization_training import METHODS, train
from rankfold.studies._deep_factorization_views import at_ratio

STUDY = DEEP_FACTORIZATION


@pytest.fixture(scope="module")
def tiny() -> StudyRun:
    parameters: dict[str, Any] = {
        **STUDY.quick,
        "seeds": 1,
        "epochs": 10,
        "ratios": [40, 100],
        "grids": {method: [[0.5], [1e-3]] for method in STUDY.quick["grids"]},
    }
    return run_study(STUDY, StudyRun(study=STUDY.name, size="tiny", parameters=parameters), Setting())


def test_every_check_is_decided_and_those_of_the_mathematics_hold(tiny: StudyRun) -> None:
    assert not tiny.missing
    findings = {finding.name: finding for finding in judge(STUDY.checks, tiny.records(STUDY))}
    assert all(finding.holds is not None for finding in findings.values())
    for name in ("least", "bound", "misalignment", "lasso", "support", "imbalance", "decay"):
        assert findings[name].holds, findings[name]
    for name in (
        "start: matched",
        "start: truncated",
        "start: none dead",
        "start: many dead",
        "start: naive",
    ):
        assert findings[name].holds, findings[name]


def test_measurements_do_not_hide_what_a_case_is(tiny: StudyRun) -> None:
    records = tiny.records(STUDY)
    for case in records.cases:
        measured = STUDY.run(case, Setting()) if case["part"] == "decay" else {}
        assert not {*case} & {*measured}
    assert len(records.where(part="training")) == len([c for c in records.cases if c["part"] == "training"])


def test_pruning_in_training_ends_at_its_ratio(tiny: StudyRun) -> None:
    (row,) = tiny.records(STUDY).where(part="training", method="gradual", ratio=40)
    assert row["test at 40"] == row["test at 10"] == row["test"]
    assert 39 < row["ratio at threshold"] < 100


def test_a_wrong_start_does_not_find_the_lasso(tiny: StudyRun) -> None:
    (row,) = tiny.records(STUDY).where(part="lasso")
    assert row["difference"] < 1e-6 < 1 < row["difference of positive start"]
    assert 0 < row["kept"] < 12


def test_a_training_that_breaks_down_is_a_guess() -> None:
    case = {"method": "lasso", "recipe": [1e30, 0.0], "ratio": None, "start": "he", "epochs": 2, "seed": 0}
    row = train(case, Setting())
    assert row["test"] == row["test at 100"] == 10.0


def test_settings_are_chosen_for_each_ratio_on_held_out_images() -> None:
    values = {(0.5, 1e-3): (90, 50, 91, 40), (0.5, 2e-3): (80, 70, 99, 60), (1.0, 1e-3): (10, 10, 100, 100)}
    rows = [
        {
            "part": "training",
            "method": "2",
            "recipe": list(recipe),
            "ratio": None,
            "start": "truncated",
            "seed": 0,
        }
        | dict(zip(("held out at 10", "held out at 40", "test at 10", "test at 40"), found, strict=True))
        for recipe, found in values.items()
    ]
    records = Records([{name: row[name] for name in list(row)[:6]} for row in rows], rows)
    assert at_ratio(records.where, "2", 10)[0]["test at 10"] == 91
    assert at_ratio(records.where, "2", 40)[0]["test at 40"] == 60


def test_tables_and_figure(tiny: StudyRun) -> None:
    records = tiny.records(STUDY)
    curves = STUDY.tables(records)[0]
    assert [row["method"] for row in curves.rows] == [method.title for method in METHODS.values()]
    assert all(table.rows for table in STUDY.tables(records))
    figure = Figure()
    STUDY.plot(records, figure)
    figure.draw_without_rendering()
