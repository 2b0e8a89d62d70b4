"""Lazy training against descent that moves its components: formulas, oracles and the study at a small size."""

import itertools
import math
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor

from rankfold.decompose._homogeneous import sphere
from rankfold.decompose._symmetric_target import ComponentTarget
from rankfold.studies import NotRun, Records, Setting, StudyRun, judge, run_study, verdict
from rankfold.studies._lazy_model import lazy_residual, smallest_correlation, symmetric_powers
from rankfold.studies._lazy_training import LAZY_TRAINING
from rankfold.studies._symmetric_descent import (
    homogeneous_iterations,
    naive_iterations,
    off_span,
    orthonormal_target,
)


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _power(vector: Tensor, order: int) -> Tensor:
    result = vector
    for _ in range(order - 1):
        result = result.unsqueeze(-1) * vector
    return result


# -- formulas against whole tensors -----------------------------------------------------------------------


@pytest.mark.parametrize("order", [2, 3, 4])
def test_powers_have_the_inner_products_of_whole_tensors(order: int) -> None:
    vectors = torch.randn(3, 4, generator=_generator(order), dtype=torch.float64)
    packed = symmetric_powers(vectors, order)
    assert packed.shape == (3, math.comb(4 + order - 1, order))
    whole = torch.stack([_power(vector, order).flatten() for vector in vectors])
    torch.testing.assert_close(packed @ packed.mT, whole @ whole.mT, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("size", "order", "count"), [(4, 3, 2), (4, 3, 4), (3, 4, 3), (5, 2, 2)])
def test_the_lazy_residual_is_that_of_least_squares_on_whole_tensors(
    size: int, order: int, count: int
) -> None:
    rank, residual = lazy_residual(size, order, count, 6, _generator(7))
    generator = _generator(7)
    vectors, points = sphere((count, size), 1.0, generator), sphere((6, size), 1.0, generator)
    # The derivative of u^(x)l by u, by automatic differentiation of the whole tensor.
    derivative = [
        torch.autograd.functional.jacobian(lambda u: _power(u, order).flatten(), vector)  # pyright: ignore
        for vector in vectors
    ]
    columns = torch.cat(derivative, dim=1)
    assert rank == int(torch.linalg.matrix_rank(columns, rtol=1e-10))
    whole = torch.stack([_power(point, order).flatten() for point in points], dim=1)
    left = whole - columns @ torch.linalg.pinv(columns, rtol=1e-10) @ whole
    assert residual == pytest.approx(float(left.square().sum(0).mean()), rel=1e-10)


@pytest.mark.parametrize(("size", "order", "count"), [(5, 3, 7), (3, 4, 5), (4, 4, 9), (5, 4, 14)])
def test_the_exceptions_of_alexander_and_hirschowitz_lack_one_dimension(
    size: int, order: int, count: int
) -> None:
    expected = min(count * size, math.comb(size + order - 1, order))
    assert lazy_residual(size, order, count, 1, _generator(0))[0] == expected - 1
    assert lazy_residual(size, order, count - 1, 1, _generator(0))[0] == (count - 1) * size
    assert lazy_residual(size, order, count + 1, 1, _generator(0))[0] == expected


# The count of parameters alone predicts 1 - md / C(d+l-1, l). A rank-one target has more than its share in the low
# harmonics, which are spanned first, so what is measured lies below; the more the higher the order. The tolerances
# are those of what is measured; the study judges the ones of A1, which are smaller.
@pytest.mark.parametrize(
    ("size", "order", "counts", "tolerance"),
    [(8, 3, (6, 12), 0.05), (12, 3, (12, 24), 0.06), (8, 4, (10, 20), 0.09)],
)
def test_a1_lazy_training_needs_many_components(
    size: int, order: int, counts: tuple[int, ...], tolerance: float
) -> None:
    total = math.comb(size + order - 1, order)
    for count in counts:
        drawn = [lazy_residual(size, order, count, 200, _generator(seed)) for seed in range(4)]
        assert {rank for rank, _ in drawn} == {min(count * size, total)}
        below = 1 - count * size / total - sum(residual for _, residual in drawn) / len(drawn)
        assert 0 < below < tolerance
    enough = math.ceil(1.05 * total / size)
    rank, residual = lazy_residual(size, order, enough, 200, _generator(0))
    assert rank == total
    assert residual < 1e-10


@pytest.mark.parametrize(("size", "order", "known"), [(4, 3, 0.03125), (6, 3, 0.0125), (5, 4, 0.0069264)])
def test_a3_smallest_correlation_of_a_random_direction(size: int, order: int, known: float) -> None:
    expected = math.factorial(order) / math.prod(range(size, size + 2 * order, 2))
    assert abs(expected - known) < 1e-7
    assert abs(smallest_correlation(size, order) - expected) < 1e-12


def test_a3_no_residual_is_met_less_in_a_sample() -> None:
    powers = symmetric_powers(sphere((200_000, 3), 1.0, _generator(1)), 2)
    sampled = torch.linalg.eigvalsh(powers.mT @ powers / len(powers))
    # 2/(3 5) in exact arithmetic; the entries of the matrix are means of 200 000 numbers below 1.
    assert float(sampled[0]) == pytest.approx(smallest_correlation(3, 2), abs=4 / 200_000**0.5)


# -- descent ----------------------------------------------------------------------------------------------


def _target(
    runs: int, size: int, rank: int, order: int, seed: int
) -> tuple[ComponentTarget, torch.Generator]:
    generator = _generator(seed)
    return orthonormal_target(size, order, torch.ones(runs, rank, dtype=torch.float64), generator), generator


def test_targets_have_orthonormal_components() -> None:
    target, _ = _target(3, 7, 4, 3, seed=0)
    eye = torch.eye(4, dtype=torch.float64).expand(3, 4, 4)
    torch.testing.assert_close(target.vectors @ target.vectors.mT, eye, rtol=0, atol=1e-14)
    assert target.squared_norm().tolist() == pytest.approx([4.0] * 3, rel=1e-12)


@pytest.mark.parametrize("order", [3, 4])
def test_naive_descent_is_descent_on_the_whole_tensor(order: int) -> None:
    target, generator = _target(1, 5, 2, order, seed=4)
    first = naive_iterations(target, 4, steps=4000, generator=generator)
    wanted = sum((_power(vector, order) for vector in target.vectors[0]), torch.zeros(()).double())
    generator = _target(1, 5, 2, order, seed=4)[1]
    vectors = 0.5 / 5**0.5 * torch.randn(1, 4, 5, generator=generator, dtype=torch.float64)[0]
    for done in itertools.count():
        vectors.requires_grad_()
        model = sum((_power(vector, order) for vector in vectors), torch.zeros(()).double())
        loss = 0.5 * (model - wanted).square().sum()
        if done % 10 == 0 and 2 * float(loss.detach()) < 1e-4 * float(wanted.square().sum()):
            break
        assert done <= first[0]
        vectors = (vectors - 0.05 * torch.autograd.grad(loss, vectors)[0]).detach()
    assert first == [done]


def test_runs_that_do_not_succeed_say_so() -> None:
    target, generator = _target(2, 10, 4, 3, seed=0)
    assert naive_iterations(target, 1, steps=30, generator=generator) == [-1, -1]
    assert homogeneous_iterations(target, 1, steps=30, again=10, generator=generator) == [-1, -1]
    assert off_span(target, 1, steps=30, generator=generator)[0] == 0


# -- the study --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small() -> StudyRun:
    parameters: dict[str, Any] = {
        **LAZY_TRAINING.quick,
        "draws": 1,
        "lazy": [[3, 8, [6, 16]], [3, 20, [20]]],
        "runs": 4,
        "steps": 600,
        "naive_steps": 1500,
        "grid": [[3, 3, [30, 100]]],
        "ratios": [1, 4, 6],
    }
    run = StudyRun(study=LAZY_TRAINING.name, size="small", parameters=parameters)
    return run_study(LAZY_TRAINING, run, Setting())


def test_every_check_is_decided_or_not_part_of_the_size(small: StudyRun) -> None:
    findings = {
        finding.name: finding for finding in judge(LAZY_TRAINING.checks, small.records(LAZY_TRAINING))
    }
    open_ = {name: finding.reason for name, finding in findings.items() if finding.holds is None}
    absent = ("A1 residual l=3 d=12", "A1 residual l=4 d=8", "A4 lazy l=4")
    assert open_ == dict.fromkeys(absent, "not part of this size")
    for name in (
        "A1 dimension",
        "A1 exact",
        "A3",
        "A4 m=4r l=3",
        "A4 lazy l=3",
        "A4 d=100",
        "A6 l=3",
        "A6 l=4",
    ):
        assert findings[name].holds, name


def test_every_size_has_the_cases_of_every_check() -> None:
    for parameters in (LAZY_TRAINING.quick, LAZY_TRAINING.full):
        asked = {
            finding.reason
            for finding in judge(LAZY_TRAINING.checks, Records(LAZY_TRAINING.cases(parameters), []))
        }
        assert "not part of this size" not in asked


def test_checks_fail_on_what_contradicts_the_claim(small: StudyRun) -> None:
    # Lazy training that fits with few components, descent that needs more of them in more dimensions.
    wrong = [
        {**row, "residual": 0.0}
        if row["part"] == "lazy"
        else {**row, "solved": 0, "median": None}
        if row["part"] == "grid" and row["size"] == 100
        else {**row, "fitted": 0}
        if row["part"] == "off span"
        else row
        for row in small.rows
    ]
    records = Records(small.records(LAZY_TRAINING).cases, wrong)
    findings = judge(LAZY_TRAINING.checks, records)
    failed = {finding.name for finding in findings if finding.holds is False}
    assert {
        "A1 residual l=3 d=8",
        "A4 lazy l=3",
        "A4 d=100",
        "A4 d=30 and d=100",
        "A6 l=3",
        "A6 l=4",
    } <= failed
    assert verdict(findings) == "holds in part"


def test_a_run_begun_anew_gives_the_same(small: StudyRun) -> None:
    chosen = [row for row in small.rows if row["part"] in ("lazy", "off span") or row.get("ratio") == 4]
    cases = small.records(LAZY_TRAINING).cases
    for row in reversed(chosen):
        (case,) = [case for case in cases if all(row.get(name) == value for name, value in case.items())]
        assert {**case, **LAZY_TRAINING.run(case, Setting())} == row


@pytest.mark.parametrize("part", ["none", "lazy", "compared", "grid", "off span", "all"])
def test_tables_and_figure_of_partial_records(small: StudyRun, part: str) -> None:
    rows = [row for row in small.rows if part in ("all", row["part"])]
    records = Records(small.records(LAZY_TRAINING).cases, rows)
    assert len(LAZY_TRAINING.tables(records)) == 4
    figure = Figure()
    LAZY_TRAINING.plot(records, figure)
    figure.canvas.draw()
    if part == "none":
        with pytest.raises(NotRun):
            LAZY_TRAINING.checks[0].measure(records)
