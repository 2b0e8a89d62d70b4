"""One small core for many layers."""

from typing import Any

import pytest
import torch
from matplotlib.figure import Figure

from rankfold.studies import Records, Setting, StudyRun, judge, run_study
from rankfold.studies._stacked_cur import STACKED_CUR
from rankfold.studies._stacked_cur_runs import METHODS, adapt, stacked_rank
from rankfold.studies._stacked_cur_tensors import compare_tensors

STUDY = STACKED_CUR
TINY: dict[str, Any] = {"seeds": 1, "ranks": [1], "rates": [0.01], "images": 64, "epochs": 1}


@pytest.fixture(scope="module")
def tiny() -> StudyRun:
    parameters = {**STUDY.quick, **TINY}
    return run_study(STUDY, StudyRun(study=STUDY.name, size="tiny", parameters=parameters), Setting())


def test_every_check_is_decided_and_those_of_the_mathematics_hold(tiny: StudyRun) -> None:
    assert not tiny.missing
    findings = {finding.name: finding for finding in judge(STUDY.checks, tiny.records(STUDY))}
    assert all(finding.holds is not None for finding in findings.values())
    for name in ("F1", "F4 none", "F5 parameters", "F5 start", "F5 trains"):
        assert findings[name].holds, findings[name]


def test_methods_train_what_they_say(tiny: StudyRun) -> None:
    rows = {row["method"]: row for row in tiny.records(STUDY).where(part="adapters")}
    assert list(rows) == list(METHODS)
    numbers = {name: row["parameters"] for name, row in rows.items()}
    assert numbers == {
        "frozen": 0,
        "full": 6 * 64 * 64,
        "low rank": 6 * (64 + 64 + 1),
        "fft": 6 * 11 * 11,
        "none": 6 * 11 * 11,
        "random": 6 * 11 * 11,
    }
    assert rows["frozen"]["attached"] is rows["full"]["first step"] is None


@pytest.mark.parametrize("rank", [1, 2, 4, 8])
def test_sizes_are_nearly_equal(rank: int) -> None:
    low_rank, stacked = rank * 128 + rank**2, stacked_rank(rank) ** 2
    assert abs(stacked / low_rank - 1) < 0.07


def test_a_tensor_of_low_tubal_rank_is_recovered_under_its_own_transform() -> None:
    case = {"part": "tensor", "shape": [15, 14, 6], "tubal rank": 2, "noise": 0.0, "seed": 0}
    for transform in ("fft", "dct", "none"):
        record = compare_tensors({**case, "rank": 2, "transform": transform})
        assert max(record["t-CUR"], record["t-SVD"], record["crossing"]) < 1e-10
        assert (record["shuffled"] < 1e-10) == (transform == "none")
        less = compare_tensors({**case, "rank": 1, "transform": transform})
        assert less["t-SVD"] <= less["t-CUR"]


def test_a_run_is_repeated_exactly() -> None:
    case = {
        "part": "adapters",
        "method": "fft",
        "rank": 1,
        "rate": 0.01,
        "images": 64,
        "epochs": 1,
        "seed": 0,
    }
    state = torch.get_rng_state()
    assert adapt(case, Setting()) == adapt(case, Setting())
    assert torch.equal(torch.get_rng_state(), state)


def test_rates_are_chosen_by_what_was_held_out() -> None:
    shares = {
        # method, rate: held out, tests of two seeds
        ("low rank", 0.01): (0.8, [0.7, 0.7]),
        ("low rank", 0.03): (0.7, [0.9, 0.9]),  # a better test, not looked at
        ("fft", 0.01): (0.6, [0.99, 0.99]),
        ("fft", 0.03): (0.9, [0.72, 0.76]),
        ("frozen", None): (0.1, [0.1, 0.1]),
    }
    rows = [
        {"part": "adapters", "method": method, "rank": None if method == "frozen" else 1, "rate": rate}
        | {"seed": seed, "held out": held_out, "test": test, "parameters": 726, "attached": 0.0}
        | {"first step": 0.1}
        for (method, rate), (held_out, tests) in shares.items()
        for seed, test in enumerate(tests)
    ]
    cases = [{name: row[name] for name in ("part", "method", "rank", "rate", "seed")} for row in rows]
    findings = {finding.name: finding for finding in judge(STUDY.checks, Records(cases, rows))}
    # Gains of 0.02 and 0.06 have a standard error of 0.02.
    assert findings["better than low rank"].value == pytest.approx(0.04 - 0.02)
    assert findings["adapts"].value == pytest.approx(0.64 - 0.02)
    assert findings["control: sharing"].holds is None


def test_partial_records_are_shown(tiny: StudyRun) -> None:
    for rows in (tiny.rows[:0], tiny.rows[:1], tiny.rows[10:]):
        records = Records(tiny.records(STUDY).cases, rows)
        STUDY.tables(records)
        STUDY.plot(records, Figure())
