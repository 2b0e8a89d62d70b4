"""Alternating least squares with more components than the rank."""

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor

from rankfold.studies import Setting, StudyRun, judge, run_study
from rankfold.studies._overparam_als import OVERPARAM_ALS
from rankfold.studies._overparam_sweeps import (
    jacobi_sweeps,
    model_of,
    normal,
    sequential_sweeps,
    target_factors,
    tensor_of,
)


@pytest.fixture(scope="module")
def tiny() -> StudyRun:
    parameters: dict[str, Any] = {**OVERPARAM_ALS.quick, "seeds": 2, "sizes": [[20, 3]]}
    run = StudyRun(study=OVERPARAM_ALS.name, size="tiny", parameters=parameters)
    return run_study(OVERPARAM_ALS, run, Setting())


def _drawn(kind: str, n: int, r: int) -> tuple[list[Tensor], torch.Generator]:
    generator = torch.Generator().manual_seed(11)
    return target_factors(kind, n, r, generator), generator


def test_a_jacobi_sweep_gives_one_new_factor_with_two_old_ones() -> None:
    truth, generator = _drawn("gaussian", 6, 2)
    tensor, start = tensor_of(truth), [normal(6, 3, generator) for _ in range(3)]
    errors = []
    for mode, spec in enumerate(("jr,kr->jkr", "ir,kr->ikr", "ir,jr->ijr")):
        old = [start[other] for other in range(3) if other != mode]
        products = torch.einsum(spec, *old).reshape(36, 3)
        unfolded = tensor.movedim(mode, 0).reshape(6, 36)
        new = torch.linalg.lstsq(products, unfolded.mT).solution.mT
        model = [new if other == mode else start[other] for other in range(3)]
        errors.append(float((tensor_of(model) - tensor).norm() / tensor.norm()))
    assert jacobi_sweeps(tensor, start, 1) == pytest.approx([min(errors)], rel=1e-12)


def test_columns_of_norm_one_change_no_sweep_while_products_are_independent() -> None:
    truth, generator = _drawn("gaussian", 6, 2)
    tensor, start = tensor_of(truth), [normal(6, 3, generator) for _ in range(3)]
    scaled = [factor * (torch.rand(3, generator=generator).double() + 0.5) for factor in start]
    first, second = jacobi_sweeps(tensor, start, 4), jacobi_sweeps(tensor, scaled, 4)
    assert len(first) == 4
    assert first == pytest.approx(second, rel=1e-6)


def test_the_library_sweeps_as_pseudo_inverses_do() -> None:
    truth, generator = _drawn("gaussian", 8, 2)
    tensor, factors = tensor_of(truth), [normal(8, 3, generator) for _ in range(3)]
    found = sequential_sweeps(tensor, factors, 3).trace[:3]
    for point in found:
        for mode in range(3):
            one, two = (factors[other] for other in range(3) if other != mode)
            products = torch.einsum("ar,br->abr", one, two).reshape(64, 3)
            factors[mode] = tensor.movedim(mode, 0).reshape(8, 64) @ torch.linalg.pinv(products).mT
        error = float((tensor_of(factors) - tensor).norm() / tensor.norm())
        # Errors of the library are differences of squares: eps of the whole by the error itself.
        assert point.relative_error == pytest.approx(error, abs=1e-7)


def test_targets_are_what_they_are_called() -> None:
    unit = torch.eye(3, dtype=torch.float64)
    for factor in _drawn("orthogonal", 7, 3)[0]:
        torch.testing.assert_close(factor.mT @ factor, unit)
    for factor in _drawn("collinear", 7, 3)[0]:
        torch.testing.assert_close(factor.mT @ factor, 0.9 + 0.1 * unit)
    core = tensor_of(_drawn("core", 7, 3)[0])
    assert [int(torch.linalg.matrix_rank(core.movedim(mode, 0).flatten(1))) for mode in range(3)] == [3, 3, 3]
    assert model_of(_drawn("gaussian", 7, 3)[0]).rank == 3


def test_a_core_is_the_sum_of_its_fibres() -> None:
    truth, _ = _drawn("core", 7, 3)
    generator = torch.Generator().manual_seed(11)
    bases = [torch.linalg.qr(normal(7, 3, generator)).Q for _ in range(3)]
    core = normal(3, 9, generator).mT.reshape(3, 3, 3)
    torch.testing.assert_close(tensor_of(truth), torch.einsum("abc,ia,jb,kc->ijk", core, *bases))


def test_every_check_is_decided(tiny: StudyRun) -> None:
    assert not tiny.missing
    findings = {finding.name: finding for finding in judge(OVERPARAM_ALS.checks, tiny.records(OVERPARAM_ALS))}
    assert all(finding.holds is not None for finding in findings.values())
    for name in ("T6 k=9", "T6 k=8", "Jacobi beyond r²", "sequential at r²", "any core fits", "control"):
        assert findings[name].holds, findings[name]


def test_runs_that_do_not_fit_count(tiny: StudyRun) -> None:
    spoiled = [
        {**row, "needed": [None, *row["needed"][1:]]} if row["part"] == "sweeps" else row for row in tiny.rows
    ]
    run = replace(tiny, rows=tuple(spoiled))
    findings = {finding.name: finding for finding in judge(OVERPARAM_ALS.checks, run.records(OVERPARAM_ALS))}
    assert findings["Jacobi at r²"].holds is False
    assert findings["sequential at r² - 1"].value == 0.5


@pytest.mark.parametrize("kept", [0, 1, 9])
def test_partial_records_are_shown_and_not_judged(tiny: StudyRun, kept: int) -> None:
    run = replace(tiny, rows=tiny.rows[len(tiny.rows) - kept :])
    records = run.records(OVERPARAM_ALS)
    assert {finding.holds for finding in judge(OVERPARAM_ALS.checks[:4], records)} == {None}
    assert all(isinstance(table.title, str) for table in OVERPARAM_ALS.tables(records))
    figure = Figure()
    OVERPARAM_ALS.plot(records, figure)
    figure.draw_without_rendering()


def test_the_full_size_tries_every_number_of_components_up_to_the_square_of_the_rank() -> None:
    widths = {
        case["k"]
        for case in OVERPARAM_ALS.cases(OVERPARAM_ALS.full)
        if case["part"] == "sweeps" and case["r"] == 3
    }
    assert widths == {3, 4, 5, 6, 7, 8, 9, math.floor(1.5 * 9 + 0.5)}
