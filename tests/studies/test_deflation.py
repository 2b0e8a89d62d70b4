"""Components that appear in the order of their size."""

import math
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure

from rankfold.studies import Record, Setting, StudyRun, judge, run_study
from rankfold.studies._deflation import DEFLATION
from rankfold.studies._deflation_model import (
    WEIGHTS,
    _directions,
    _fitted,
    _relative_error,
    _start,
    _target,
    dense_loss,
    followed,
)
from rankfold.studies._deflation_show import mean_ahead, ordered_share, slopes


@pytest.fixture(scope="module")
def tiny() -> StudyRun:
    parameters: dict[str, Any] = {
        **DEFLATION.quick,
        "runs": 1,
        "deltas": [1e-2, 1e-3, 1e-4],
        "time": 50.0,
        "decays": [0.01],
        "steps": 1500,
        "law step": 1e-2,
        "widths": [8],
        "modified runs": 2,
    }
    run = StudyRun(study=DEFLATION.name, size="tiny", parameters=parameters)
    return run_study(DEFLATION, run, Setting())


def _case(**values: object) -> dict[str, Any]:
    return {"runs": 2, "m": 6, "order": 4, "orthogonal": True, "seed": 3, **values}


def test_weights_fall_by_a_fifth_and_sum_to_one() -> None:
    assert math.fsum(WEIGHTS) == pytest.approx(1, rel=1e-15)
    assert [one / two for one, two in pairwise(WEIGHTS)] == pytest.approx([1.2] * 4)


@pytest.mark.parametrize("order", [2, 4])
def test_what_is_fitted_is_the_coefficient_of_the_dense_model(order: int) -> None:
    generator = torch.Generator().manual_seed(1)
    target = _target(_case(order=order), generator)
    vectors, _ = _start(_case(), 0.5, generator)
    letters = "abcd"[:order]
    for run in range(2):
        factors = [vectors[run]] * order
        model = torch.einsum(
            "i," + ",".join(f"i{letter}" for letter in letters) + "->" + letters,
            vectors[run].norm(dim=1) ** (2 - order),
            *factors,
        )
        for index, part in enumerate(target.vectors[run]):
            inner = torch.einsum(letters + "," + ",".join(letters) + "->", model, *([part] * order))
            assert float(_fitted(target, vectors)[run, index]) == pytest.approx(float(inner), rel=1e-12)


def test_the_relative_error_is_the_dense_one() -> None:
    generator = torch.Generator().manual_seed(2)
    target = _target(_case(orthogonal=False), generator)
    vectors, _ = _start(_case(), 0.5, generator)
    for run in range(2):
        parts, weights = target.vectors[run], target.weights[run]
        dense = torch.einsum("i,ia,ib,ic,id->abcd", weights, *([parts] * 4))
        expected = math.sqrt(2 * dense_loss(vectors[run], parts, weights)) / float(dense.norm())
        assert float(_relative_error(target, vectors)[run]) == pytest.approx(expected, rel=1e-10)


def test_directions_are_counted_up_to_sign_and_without_the_small_ones() -> None:
    unit = torch.eye(10, dtype=torch.float64)
    near = unit[0] + 0.01 * unit[1]  # a cosine above 0.9999 with the first
    vectors = torch.stack([unit[0], -0.5 * unit[0], near, 0.3 * unit[1], 1e-3 * unit[2]])
    assert _directions(vectors) == 2
    assert _directions(1e-3 * vectors) == 0


def test_a_start_along_the_target_is_half_fitted_when_the_logistic_law_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    delta = 1e-3

    def aligned(case: Any, delta: float, generator: torch.Generator) -> Any:
        again = torch.Generator().manual_seed(case["seed"])
        return delta * _target(case, again).vectors, torch.ones(case["runs"], 5, dtype=torch.float64)

    monkeypatch.setattr("rankfold.studies._deflation_model._start", aligned)
    found = followed(_case(delta=delta, time=60.0, curve=False))
    for run in found["half"]:
        for weight, time in zip(WEIGHTS, run, strict=True):
            # Looks are 0.1 apart; the steps of 0.02 make the growth slower by about 2 a step.
            law = math.log(weight / delta**2 - 1) / (4 * weight)
            assert law - 0.1 <= time <= law * (1 + 2 * weight * 0.02) + 0.2


def _times(delta: float, half: list[list[float]]) -> Record:
    return {"delta": delta, "half": half, "ahead": [[0.5, -1.0], [0.25, 0.0]]}


def test_order_slopes_and_shares_are_those_of_plain_numbers() -> None:
    deltas = (1e-3, 1e-5, 1e-7)
    straight = [[0.7 * math.log(1 / delta) / weight + 2 for weight in WEIGHTS] for delta in deltas]
    rows = [_times(delta, [half]) for delta, half in zip(deltas, straight, strict=True)]
    assert slopes(rows) == [pytest.approx([0.7] * 5)]
    rows[1] = _times(1e-5, [[-1.0, *straight[1][1:]]])
    ((first, *others),) = slopes(rows)
    assert math.isnan(first)
    assert others == pytest.approx([0.7] * 4)
    assert ordered_share(rows) == pytest.approx(2 / 3)
    assert ordered_share([_times(1e-3, [[1.0, 3.0, 2.0, 4.0, 5.0], [1.0, 2.0, 3.0, 4.0, -1.0]])]) == 0
    assert mean_ahead(rows[0]) == 0.25


def test_every_check_is_decided(tiny: StudyRun) -> None:
    assert not tiny.missing
    findings = {finding.name: finding for finding in judge(DEFLATION.checks, tiny.records(DEFLATION))}
    assert all(finding.holds is not None for finding in findings.values())
    for name in ("B1 m=50", "B2", "sharpness", "B3", "B4", "B5", "B6", "B7", "B7 control"):
        assert findings[name].holds, findings[name]


def test_a_component_that_is_never_fitted_fails_order_and_slope(tiny: StudyRun) -> None:
    rows = [
        {**row, "half": [[*run[:-1], -1.0] for run in row["half"]]} if "half" in row else row
        for row in tiny.rows
    ]
    records = replace(tiny, rows=tuple(rows)).records(DEFLATION)
    findings = {finding.name: finding for finding in judge(DEFLATION.checks, records)}
    assert findings["B1 m=50"].value == 0
    assert findings["B2"].holds is False
    assert DEFLATION.tables(records)


def test_a_case_gives_the_same_again(tiny: StudyRun) -> None:
    cases = [case for case in tiny.records(DEFLATION).cases if case["part"] in ("stayed", "decay")]
    assert len(cases) == 3
    for case in cases:
        torch.manual_seed(99)
        assert {**case, **DEFLATION.run(case, Setting())} in tiny.rows


@pytest.mark.parametrize("kept", [0, 1, 5])
def test_partial_records_are_shown_and_not_judged(tiny: StudyRun, kept: int) -> None:
    for rows in (tiny.rows[:kept], tiny.rows[len(tiny.rows) - kept :]):
        records = replace(tiny, rows=rows).records(DEFLATION)
        findings = {finding.name: finding for finding in judge(DEFLATION.checks, records)}
        assert findings["B1 m=20"].holds is None
        assert all(isinstance(table.title, str) for table in DEFLATION.tables(records))
        figure = Figure(layout="constrained")
        DEFLATION.plot(records, figure)
        figure.draw_without_rendering()
