"""Wide shallow networks, lazy and not."""

from typing import Any

import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

from rankfold.diagnostics import tangent_kernel
from rankfold.studies import Records, Setting, StudyRun, judge, run_study
from rankfold.studies._lazy_width import LAZY_WIDTH
from rankfold.studies._lazy_width_runs import largest_tangent_eigenvalue, train_shallow

STUDY = LAZY_WIDTH


@pytest.fixture(scope="module")
def tiny() -> StudyRun:
    small = {"seeds": 2, "ratios": [0.1, 1, 3], "images": 40, "neurons": 80, "steps": 60}
    parameters: dict[str, Any] = {**STUDY.quick, **small}
    return run_study(STUDY, StudyRun(study=STUDY.name, size="tiny", parameters=parameters), Setting())


def test_every_check_is_decided_and_those_of_the_mathematics_hold(tiny: StudyRun) -> None:
    assert not tiny.missing
    findings = {finding.name: finding for finding in judge(STUDY.checks, tiny.records(STUDY))}
    assert all(finding.holds is not None for finding in findings.values())
    for name in ("PL last layer", "PL whole", "movement"):
        assert findings[name].holds, findings[name]


def test_what_is_frozen_does_not_move_and_the_loss_falls(tiny: StudyRun) -> None:
    for row in tiny.records(STUDY).where():
        assert row["curve"][0]["step"] == 0
        assert row["curve"][-1]["step"] == 60
        assert row["curve"][-1]["loss"] < row["curve"][0]["loss"] / 2
        assert (row["curve"][-1]["movement"] == 0) == row["frozen"]


@pytest.mark.parametrize("frozen", [False, True])
def test_the_largest_eigenvalue_is_that_of_the_tangent_kernel(frozen: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 7), nn.GELU(), nn.Linear(7, 3)).double()
    for parameter in model.parameters():
        nn.init.normal_(parameter, generator=generator)
    model[0].requires_grad_(not frozen)
    x = 3 + torch.randn(6, 5, generator=generator).double()  # one eigenvalue is far above the others
    known = float(torch.linalg.eigvalsh(tangent_kernel(model, x))[-1].detach())
    assert largest_tangent_eigenvalue(model, x, generator) == pytest.approx(known, rel=1e-4)


def test_a_run_is_repeated_exactly() -> None:
    case = {"ratio": 1, "frozen": False, "images": 20, "neurons": 30, "steps": 5, "seed": 1}
    assert train_shallow(case, Setting()) == train_shallow(case, Setting())


def test_gains_are_those_of_the_rich_start_over_hes() -> None:
    rows = [
        {"ratio": ratio, "frozen": frozen, "seed": seed, "last layer": 2.0, "whole": 3.0}
        | {"curve": [{"test": test + 0.01 * seed, "train": 1.0, "movement": ratio}]}
        for (ratio, frozen), test in {
            (0.5, False): 0.7,
            (0.5, True): 0.72,
            (1, False): 0.8,
            (3, False): 0.85,
            (1, True): 0.8,
            (3, True): 0.82,
        }.items()
        for seed in range(3)
    ]
    cases = [{name: row[name] for name in ("ratio", "frozen", "seed")} for row in rows]
    findings = {finding.name: finding for finding in judge(STUDY.checks, Records(cases, rows))}
    assert findings["rich is better"].value == pytest.approx(0.05)
    assert findings["control: by moving"].value == pytest.approx(0.03)
    assert findings["control: lazy"].value == pytest.approx(0.02)
    assert findings["lazy is worst"].value == pytest.approx(0.1)
    assert findings["movement"].value == pytest.approx(2)


def test_partial_records_are_shown(tiny: StudyRun) -> None:
    for rows in (tiny.rows[:0], tiny.rows[:1], tiny.rows[3:]):
        records = Records(tiny.records(STUDY).cases, rows)
        STUDY.tables(records)
        STUDY.plot(records, Figure())
