"""Weights scaled by curvature: the study at a tiny size, and its parts by hand."""

import math
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

from rankfold.studies import Records, Setting, StudyRun, judge, run_study
from rankfold.studies._hessian_init import HESSIAN_INIT
from rankfold.studies._hessian_init_exact import draw_he, swept_norms
from rankfold.studies._hessian_init_training import STARTS, train
from rankfold.studies._hessian_init_views import usable_rates

STUDY = HESSIAN_INIT


@pytest.fixture(scope="module")
def tiny() -> StudyRun:
    parameters: dict[str, Any] = {
        **STUDY.quick,
        "seeds": 1,
        "width": 24,
        "sweep_layers": [16],
        "scales": [0.5, 1.0, 2.0],
        "layers": [16],
        "rates": [0.01],
        "epochs": 1,
    }
    return run_study(STUDY, StudyRun(study=STUDY.name, size="tiny", parameters=parameters), Setting())


def test_every_check_is_decided_and_those_of_the_mathematics_hold(tiny: StudyRun) -> None:
    assert not tiny.missing
    findings = {finding.name: finding for finding in judge(STUDY.checks, tiny.records(STUDY))}
    assert all(finding.holds is not None for finding in findings.values())
    for name in ("power iteration", "chain rule", "control: tanh", "scale", "same function"):
        assert findings[name].holds, findings[name]
    figure = Figure()
    STUDY.plot(tiny.records(STUDY), figure)
    figure.draw_without_rendering()
    assert all(table.rows for table in STUDY.tables(tiny.records(STUDY)))


def test_starts_are_drawn_and_calibrated_as_they_say() -> None:
    torch.manual_seed(0)
    model = draw_he(nn.Sequential(nn.Linear(200, 300)), 0.5)
    assert float(model[0].weight.detach().std()) == pytest.approx(0.5 * math.sqrt(2 / 200), rel=0.02)  # pyright: ignore
    assert not model[0].bias.any()  # pyright: ignore
    for start, (_, _, goal) in STARTS.items():
        case = {"layers": 3, "width": 16, "start": start, "rate": 0.01, "epochs": 1, "seed": 0}
        row = train(case, Setting())
        assert (row["after"] is None) == (goal is None or row["refused"])
        if row["refused"]:
            assert goal == "one"
            assert row["test"] == 10.0
            continue
        if goal is not None:
            assert row["after"][0] / row["after"][1] < 1.1 < row["before"][0] / row["before"][1]
        if goal == "one":
            assert row["after"][0] == pytest.approx(1, rel=0.05)
        if goal == "equal":
            assert row["function"] < 1e-4


def test_norms_of_one_layer_are_those_of_the_inputs() -> None:
    """Of a linear layer under the mean of squares over n images and k outputs it is 2 ||X||² / (n k)."""
    from rankfold.studies._digits import digits

    case = {"loss": "squared", "layers": 1, "width": 8, "scale": 1.0, "iterations": 60, "seed": 0}
    inputs = digits().train[0][:300].double()
    expected = 2 * float(torch.linalg.matrix_norm(inputs, 2)) ** 2 / (300 * 10)
    assert swept_norms(case, Setting())["norm"] == pytest.approx(expected, rel=1e-6)


def test_rates_that_serve_are_near_the_best_and_have_learned() -> None:
    rows = [
        {"part": "training", "layers": 4, "start": "he", "rate": rate, "seed": 0, "test": test}
        for rate, test in ((0.1, 95.0), (0.2, 93.5), (0.3, 92.0))
    ]
    records = Records([{name: row[name] for name in list(row)[:5]} for row in rows], rows)
    assert usable_rates(records.where, 4, "he") == [0.1, 0.2]
    poor = [{**row, "test": 50.0} for row in rows]
    assert usable_rates(Records(records.cases, poor).where, 4, "he") == []
