"""Small early and large late layers, against learning rates by layer."""

from typing import Any

import pytest
import torch
from matplotlib.figure import Figure
from torch import nn

from rankfold.studies import Records, Setting, StudyRun, judge, run_study
from rankfold.studies._emergence_init import EMERGENCE_INIT
from rankfold.studies._emergence_init_runs import compare_with_rates, deep_network, train_rescaled

STUDY = EMERGENCE_INIT
EXACT = {"part": "exact", "schedule": "ramp", "depth": 5, "width": 8, "rate": 1e-2, "steps": 10, "seed": 0}
TRAINING = {"part": "training", "alpha": 1.25, "rate": 0.05, "epochs": 2, "depth": 4, "width": 16}
TRAINING |= {"images": 128, "held out images": 64, "seed": 0}


@pytest.fixture(scope="module")
def tiny() -> StudyRun:
    parameters: dict[str, Any] = {
        **STUDY.quick,
        "seeds": 2,
        "alphas": [1, 1.25],
        "rates": [0.01, 0.1],
        "epochs": 1,
    }
    return run_study(STUDY, StudyRun(study=STUDY.name, size="tiny", parameters=parameters), Setting())


def test_every_check_is_decided_and_those_of_the_mathematics_hold(tiny: StudyRun) -> None:
    assert not tiny.missing
    findings = {finding.name: finding for finding in judge(STUDY.checks, tiny.records(STUDY))}
    assert all(finding.holds is not None for finding in findings.values())
    for name in ("F1", "F2", "F3"):
        assert findings[name].holds, findings[name]


def test_the_equality_with_layer_wise_rates_is_lost_with_batch_norm() -> None:
    plain, normed = (
        compare_with_rates({**EXACT, "alpha": 1.5, "bias": norm is False, "norm": norm})
        for norm in (False, True)
    )
    assert plain["changed"] < 1e-12
    assert plain["apart"] < 1e-11
    assert normed["apart"] > 1e-4


def test_the_network_is_as_deep_as_it_says() -> None:
    model = deep_network(4, 16, True, torch.Generator().manual_seed(0))
    layers = [layer for layer in model if isinstance(layer, nn.Linear)]
    assert [tuple(layer.weight.shape) for layer in layers] == [(16, 64), (16, 16), (16, 16), (10, 16)]
    assert sum(isinstance(layer, nn.BatchNorm1d) for layer in model) == 3
    assert model(torch.zeros(2, 1, 8, 8)).shape == (2, 10)


def test_a_run_is_repeated_exactly() -> None:
    case = {**TRAINING, "norm": True}
    assert train_rescaled(case, Setting()) == train_rescaled(case, Setting())


def test_a_training_that_breaks_down_is_a_guess() -> None:
    record = train_rescaled({**TRAINING, "norm": False, "rate": 1e30}, Setting())
    assert set(record) == {f"{when} {part}" for when in ("first", "last") for part in ("held_out", "test")}
    assert {*record.values()} == {0.1}


def test_alphas_and_rates_are_chosen_by_what_was_held_out() -> None:
    shares = {
        # alpha, rate: held out, tests of two seeds
        (1, 0.1): (0.8, [0.7, 0.7]),
        (1, 0.3): (0.7, [0.9, 0.9]),  # a better test, not looked at
        (1.1, 0.1): (0.6, [0.99, 0.99]),
        (1.1, 0.3): (0.9, [0.72, 0.76]),
        (1.5, 0.1): (0.85, [0.95, 0.95]),
    }
    rows = [
        {"part": "training", "norm": False, "alpha": alpha, "rate": rate, "seed": seed}
        | {"first held_out": held_out, "first test": test, "last held_out": held_out, "last test": test}
        for (alpha, rate), (held_out, tests) in shares.items()
        for seed, test in enumerate(tests)
    ]
    cases = [{name: row[name] for name in ("part", "norm", "alpha", "rate", "seed")} for row in rows]
    findings = {finding.name: finding for finding in judge(STUDY.checks, Records(cases, rows))}
    # Gains of 0.02 and 0.06 have a standard error of 0.02.
    assert findings["first epoch, no batch norm"].value == pytest.approx(0.04 - 0.02)
    assert findings["F4 low rate, no batch norm"].value == pytest.approx(0.99 - 0.7)
    assert findings["first epoch, batch norm"].holds is None


def test_partial_records_are_shown(tiny: StudyRun) -> None:
    for rows in (tiny.rows[:0], tiny.rows[:1], tiny.rows[5:]):
        records = Records(tiny.records(STUDY).cases, rows)
        STUDY.tables(records)
        STUDY.plot(records, Figure())
