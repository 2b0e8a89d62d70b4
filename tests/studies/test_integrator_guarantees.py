"""The guarantees of the integrators: oracles of the study against brute force, and the study at tiny sizes."""

import itertools
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure

from rankfold.formats import Tucker
from rankfold.linalg import unfold
from rankfold.studies import Records, Setting, StudyRun, judge, run_study
from rankfold.studies._integrator_flows import Path, adaptive_flow_error, flow_problem, path_error, reference
from rankfold.studies._integrator_guarantees import INTEGRATOR_GUARANTEES
from rankfold.studies._integrator_parts import PARTS, _log_cosh
from rankfold.studies._integrator_problems import (
    core_in,
    decayed,
    gradients,
    moved,
    normal,
    random_tucker,
    relative,
    tangent_projection,
    unit_turn,
)

SHAPE, RANKS = (5, 4, 3), (2, 2, 2)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def problem() -> tuple[Tucker, torch.Tensor]:
    source = generator()
    return random_tucker(SHAPE, RANKS, source), normal(source, *SHAPE)


def test_the_tangent_projection_is_that_on_all_small_changes_of_core_and_factors(problem):
    tucker, dense = problem

    def flat(*parts):
        return Tucker(parts[0], tuple(parts[1:])).to_dense().flatten()

    jacobian = torch.autograd.functional.jacobian(flat, tuple(tucker.tensors))
    columns = torch.cat([part.reshape(dense.numel(), -1) for part in jacobian], dim=1)
    # The parametrisation has redundant directions, hence the pseudo-inverse.
    expected = columns @ (torch.linalg.pinv(columns, rtol=1e-10) @ dense.flatten())
    assert relative(tangent_projection(tucker, dense).flatten(), expected) < 1e-12


def test_gradients_are_the_closed_forms(problem):
    tucker, dense = problem
    given = gradients(tucker, dense)
    assert relative(given.core, core_in(tucker, dense)) < 1e-14
    for mode, factor in enumerate(tucker.factors):
        others = Tucker(tucker.core, tuple(None if m == mode else f for m, f in enumerate(tucker.factors)))
        expected = unfold(core_in(others, dense), mode) @ unfold(tucker.core, mode).mT
        assert given.factors[mode].shape == factor.shape
        assert relative(given.factors[mode], expected) < 1e-13


def test_decayed_spectra_and_turns():
    tucker = random_tucker((6, 6), (4, 4), generator())
    flat = Tucker(torch.eye(4, dtype=torch.float64), tucker.factors)
    expected = 3.0 ** (-2 * torch.arange(4, dtype=torch.float64))  # both modes are weighted
    torch.testing.assert_close(torch.linalg.svdvals(decayed(flat, 3.0).to_dense())[:4], expected)
    turn = unit_turn(5, generator())
    assert torch.equal(turn, -turn.mT)
    torch.testing.assert_close(torch.linalg.matrix_norm(turn, ord=2), torch.ones((), dtype=torch.float64))


def test_the_velocity_is_the_derivative_of_the_path():
    path, h = Path.draw(2.0, 0.1, 0), 1e-5
    difference = (path.value(0.4 + h) - path.value(0.4 - h)) / (2 * h)
    # Central differences err by h² / 6 of the third derivative and eps / h of the values.
    assert relative(path.velocity(0.4), difference) < 1e-9
    values = torch.linalg.svdvals(unfold(path.low_rank(0.0).to_dense(), 0))
    assert int((values > 1e-12).sum()) == 4


def test_factor_euler_is_of_order_one_where_the_core_is_well_conditioned():
    path = Path.draw(1.0, 0.0, 0, shape=(6, 5), rank=2)
    coarse, fine = (path_error("factor-euler", path, steps) for steps in (20, 40))
    assert 1.8 < coarse / fine < 2.2


def test_the_reference_is_of_order_four():
    coarse, middle, fine = (reference(0, steps) for steps in (5, 10, 20))
    assert 8 < float((coarse - middle).norm() / (middle - fine).norm()) < 40


def test_without_truncation_the_full_space_gives_the_error_of_eulers_method():
    # After enough steps the bases are whole and only the first steps lack directions: the bound is no equality, but
    # the error of Euler's method is a lower part of it.
    error, bound, ranks = adaptive_flow_error("augmented", 0.0, 8, 2.0, 0)
    start, target = flow_problem(0)
    assert ranks[-1] == target.shape[-1]
    assert 0 < error <= bound
    assert start.shape == target.shape


def test_log_cosh_is_what_it_says():
    x = torch.linspace(-3, 3, 7, dtype=torch.float64).requires_grad_()
    value, slope = _log_cosh(x.detach())
    expected = torch.log(torch.cosh(x)).sum()
    assert value == pytest.approx(float(expected.detach()), rel=1e-14)
    torch.testing.assert_close(slope, torch.autograd.grad(expected, x)[0])
    assert _log_cosh(torch.tensor([800.0], dtype=torch.float64))[0] == pytest.approx(800 - 0.6931471805599453)


def test_a_fixed_step_needs_the_gradient_where_it_led(problem):
    tucker, dense = problem
    one = moved("fixed", tucker, dense, 0.1).to_dense()
    other = moved("fixed", tucker, dense, 0.1, second=2 * dense).to_dense()
    assert relative(one, other) > 1e-3


@pytest.fixture(scope="module")
def tiny() -> StudyRun:
    parameters: dict[str, Any] = {
        **INTEGRATOR_GUARANTEES.quick,
        "runs": 1,
        "lengths": [0.1, 0.01],
        "decays": [1.0, 10.0],
        "robust_steps": 80,
        "growth_steps": 40,
        "descent_tolerances": [0.05, 0.3],
        "truncation_tolerances": [0.3],
        "smallest": [1e-2, 1e-8],
        "growth_tolerances": [0.1],
        "flow_steps": [10, 20],
        "reference_steps": 40,
        "path_decays": [1.5, 1000.0],
        "path_steps": [10, 30],
        "schedules": [[1e-2, 0], [1e-3, 0], [0.5, 2]],
        "schedule_steps": [8, 64],
    }
    run = StudyRun(study=INTEGRATOR_GUARANTEES.name, size="tiny", parameters=parameters)
    return run_study(INTEGRATOR_GUARANTEES, run, Setting())


def test_every_check_is_decided_at_tiny_sizes(tiny):
    assert tiny.missing == ()
    findings = {f.name: f for f in judge(INTEGRATOR_GUARANTEES.checks, tiny.records(INTEGRATOR_GUARANTEES))}
    assert all(finding.holds is not None for finding in findings.values())
    # The few steps of this size are not fine enough for the small tolerance to turn the error.
    assert {name for name, finding in findings.items() if not finding.holds} <= {"T3 tau 0.001"}


def test_a_false_exactness_is_seen(tiny):
    rows = [
        {**row, "error": 1e-6} if row["part"] == "exactness" and row["integrator"] == "fixed" else row
        for row in tiny.rows
    ]
    cases = INTEGRATOR_GUARANTEES.cases(tiny.parameters)
    findings = {f.name: f for f in judge(INTEGRATOR_GUARANTEES.checks, Records(cases, rows))}
    assert findings["6 fixed"].holds is False


def test_cases_stand_alone(tiny):
    for part in ("exactness", "descent", "schedule"):
        row = next(row for row in tiny.rows if row["part"] == part)
        case = next(c for c in INTEGRATOR_GUARANTEES.cases(tiny.parameters) if c.items() <= row.items())
        assert {**case, **PARTS[part](case)} == row


def test_partial_records_show(tiny):
    cases = INTEGRATOR_GUARANTEES.cases(tiny.parameters)
    parts = {row["part"] for row in tiny.rows}
    some = [[row for row in tiny.rows if row["part"] == part] for part in parts]
    for rows in [[], tiny.rows[::2], tiny.rows, *some]:
        records = Records(cases, rows)
        figure = Figure(layout="constrained")
        INTEGRATOR_GUARANTEES.plot(records, figure)
        tables = INTEGRATOR_GUARANTEES.tables(records)
        assert list(itertools.chain.from_iterable(table.rows for table in tables)) or not any(
            row["part"] not in ("truncation",) for row in rows
        )
