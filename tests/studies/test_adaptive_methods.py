"""Optimisers on regression with more weights than rows: limits in closed form, the counter-example, the study."""

from typing import Any

import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor

from rankfold.studies import Records, Setting, StudyRun, judge, run_study
from rankfold.studies._adaptive_methods import ADAPTIVE_METHODS
from rankfold.studies._adaptive_methods_classes import (
    SOLUTIONS,
    accuracy,
    class_rows,
    fresh_scores,
    least_scale,
    minimum_norm_start,
)
from rankfold.studies._adaptive_methods_runs import (
    METHODS,
    fixed_diagonal,
    full_adagrad,
    minimum_norm,
    preconditioned_limit,
    span_projection,
    trajectory,
)

BY_NAME = {method.name: method for method in METHODS}


def _problem(n: int = 4, d: int = 9, seed: int = 2) -> tuple[Tensor, Tensor, torch.Generator]:
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(n, d, generator=generator, dtype=torch.float64)
    return inputs, torch.randn(n, generator=generator, dtype=torch.float64), generator


def test_the_preconditioned_limit_is_nearest_to_the_start_in_its_metric() -> None:
    """Conditions of Karush, Kuhn and Tucker of: least ``(w - w_0)^T D^-1 (w - w_0)`` with ``X w = y``."""
    inputs, labels, generator = _problem()
    scale = torch.randn(9, generator=generator, dtype=torch.float64).exp()
    start = torch.randn(9, generator=generator, dtype=torch.float64)
    system = torch.zeros(13, 13, dtype=torch.float64)
    system[:9, :9] = torch.diag(1 / scale)
    system[:9, 9:], system[9:, :9] = inputs.mT, inputs
    expected = torch.linalg.solve(system, torch.cat([start / scale, labels]))[:9]
    torch.testing.assert_close(preconditioned_limit(inputs, labels, scale, start), expected)
    end = trajectory(fixed_diagonal(scale, inputs, labels), start, 20_000, [20_000])[20_000]
    torch.testing.assert_close(end, expected, rtol=1e-10, atol=1e-12)


def test_the_minimum_norm_and_the_span() -> None:
    inputs, labels, _ = _problem()
    inverse = torch.linalg.pinv(inputs)
    torch.testing.assert_close(minimum_norm(inputs, labels), inverse @ labels)
    torch.testing.assert_close(span_projection(inputs), inverse @ inputs)


@pytest.mark.parametrize(
    ("name", "kind", "options"),
    [
        ("AdaGrad, step 0.1", torch.optim.Adagrad, {"lr": 0.1}),
        ("Adam", torch.optim.Adam, {"lr": 0.01}),
        ("AMSGrad", torch.optim.Adam, {"lr": 0.01, "amsgrad": True}),
        ("RMSprop", torch.optim.RMSprop, {"lr": 0.01}),
    ],
)
def test_methods_are_the_optimisers_of_pytorch_on_the_loss(name: str, kind: Any, options: Any) -> None:
    inputs, labels, generator = _problem()
    step = BY_NAME[name].build(inputs, labels, generator, 30)
    found = trajectory(step, torch.zeros(9, dtype=torch.float64), 30, [30])[30]
    weights = torch.zeros(9, dtype=torch.float64, requires_grad=True)
    optimizer = kind([weights], **options)
    for _ in range(30):
        optimizer.zero_grad()
        ((inputs @ weights - labels).square().sum() / 2).backward()
        optimizer.step()
    torch.testing.assert_close(found, weights.detach(), rtol=1e-9, atol=1e-12)


def test_the_first_step_of_the_full_adagrad_is_the_unit_gradient() -> None:
    inputs, labels, generator = _problem()
    start = torch.zeros(9, dtype=torch.float64)
    found = full_adagrad(0.5)(inputs, labels, generator, 1)(start, 0)
    gradient = -inputs.mT @ labels
    torch.testing.assert_close(found, -gradient / (gradient.norm() + 0.5))


def test_trajectory_keeps_what_is_asked() -> None:
    found = trajectory(lambda weights, number: weights + number, torch.zeros(1), 4, [0, 2, 4, 9])
    assert {number: float(value) for number, value in found.items()} == {0: 0.0, 2: 1.0, 4: 6.0}


@pytest.mark.parametrize("scale", [0.05, 1.0])
def test_the_sign_direction_interpolates_at_every_scale(scale: float) -> None:
    """Hence AdaGrad stays on it: all coordinates of all gradients keep their ratio."""
    rows, labels = class_rows(7, 5, scale)
    signs = (rows.mT @ labels).sign()
    torch.testing.assert_close(rows @ signs, (3 + scale) * labels)
    upper, lower = fresh_scores(signs / (3 + scale), scale)
    assert upper == pytest.approx((2 + scale) / (3 + scale))
    assert lower == pytest.approx((2 - scale) / (3 + scale))
    found = SOLUTIONS["AdaGrad"](rows, labels, 2000)
    torch.testing.assert_close(found, signs / (3 + scale), rtol=0, atol=1e-8)


@pytest.mark.parametrize(("positive", "negative"), [(12, 8), (30, 20), (3, 20)])
def test_closed_forms_of_the_minimum_norm(positive: int, negative: int) -> None:
    rows, labels = class_rows(positive + negative, positive)
    found = torch.linalg.pinv(rows) @ labels
    assert found[:3].tolist() == pytest.approx(minimum_norm_start(positive, negative), abs=1e-12)
    share, edge = positive / (positive + negative), least_scale(positive, negative)
    rights = []
    for scale in (0.999 * edge, 1.001 * edge):
        rows, labels = class_rows(positive + negative, positive, scale)
        rights.append(accuracy(minimum_norm(rows, labels), share, scale))
    assert rights[0] in (share, 1 - share)
    assert rights[1] == 1.0


def test_neither_the_root_free_adagrad_nor_the_unscaled_solution_depends_on_the_scale() -> None:
    for name in ("AdaGrad without root", "unscaled features"):
        scores = []
        for scale in (1.0, 0.03):
            rows, labels = class_rows(10, 6, scale)
            weights = SOLUTIONS[name](rows, labels, 500)
            torch.testing.assert_close(rows @ weights, labels, rtol=0, atol=1e-6)
            scores.append(fresh_scores(weights, scale))
        assert scores[0] == pytest.approx(scores[1], abs=1e-9)
    assert scores[0][0] > 0 > scores[0][1]


@pytest.fixture(scope="module")
def tiny() -> StudyRun:
    parameters: dict[str, Any] = {
        **ADAPTIVE_METHODS.quick,
        "draws": 1,
        "steps": 2000,
        "epsilons": [1e-4, 1e-9],
        "counts": [10],
        "scales": [0.1, 1.0],
        "class_steps": 1500,
    }
    run = StudyRun(study=ADAPTIVE_METHODS.name, size="tiny", parameters=parameters)
    return run_study(ADAPTIVE_METHODS, run, Setting())


def test_checks_of_a_tiny_run(tiny: StudyRun) -> None:
    findings = judge(ADAPTIVE_METHODS.checks, tiny.records(ADAPTIVE_METHODS))
    assert all(finding.holds is not None for finding in findings)
    # AdaGrad at the smallest step takes more steps than these to come to rest.
    failed = {finding.name for finding in findings if not finding.holds}
    assert {name for name in failed if "constant step" not in name} <= {"D4"}


def test_a_cycle_at_a_constant_step_is_seen(tiny: StudyRun) -> None:
    (row,) = tiny.records(ADAPTIVE_METHODS).where(part="descent", method="RMSprop")
    assert row["residual"] > 1e-3


def test_a_resumed_run_is_the_same(tiny: StudyRun) -> None:
    number = next(i for i, row in enumerate(tiny.rows) if row.get("method") == "one row at a time")
    rows = tiny.rows[:number] + tiny.rows[number + 1 :]
    half = StudyRun(study=tiny.study, size=tiny.size, parameters=tiny.parameters, rows=rows)
    assert run_study(ADAPTIVE_METHODS, half, Setting()).rows[-1] == tiny.rows[number]


@pytest.mark.parametrize("step", [1, 3, 1000])
def test_partial_records_are_shown(tiny: StudyRun, step: int) -> None:
    records = Records(tiny.records(ADAPTIVE_METHODS).cases, tiny.rows[::step])
    assert len(ADAPTIVE_METHODS.tables(records)) == 5
    ADAPTIVE_METHODS.plot(records, Figure(layout="constrained"))
