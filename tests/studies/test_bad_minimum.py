"""The bad minimum of the naive objective, and descent that leaves it or not."""

from typing import Any

import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor

from rankfold.studies import Records, Setting, StudyRun, judge, run_study, verdict
from rankfold.studies import _bad_minimum as bad
from rankfold.studies._bad_minimum import BAD_MINIMUM


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _whole_loss(vectors: Tensor) -> Tensor:
    """``||sum u^(x)4 - e_1^(x)4 - e_2^(x)4||²`` from whole tensors, for vectors ``(m, 2)``."""
    basis = torch.eye(2, dtype=torch.float64)
    model, target = (torch.einsum("ia,ib,ic,id->abcd", u, u, u, u) for u in (vectors, basis))
    return (model - target).square().sum()


def test_the_loss_is_that_of_whole_tensors() -> None:
    vectors = torch.randn(3, 5, 2, generator=_generator(0), dtype=torch.float64)
    expected = torch.stack([_whole_loss(run) for run in vectors])
    torch.testing.assert_close(bad._naive_loss(vectors), expected, rtol=1e-12, atol=0)
    for count in (1, 2, 12):
        assert float(_whole_loss(bad._stuck(count))) == pytest.approx(1, abs=1e-14)


@pytest.mark.parametrize("count", [2, 3, 5, 8])
def test_the_bad_point_is_critical_without_negative_curvature(count: int) -> None:
    point = bad._stuck(count).requires_grad_()
    (gradient,) = torch.autograd.grad(_whole_loss(point), point)
    assert float(gradient.abs().max()) < 1e-14
    hessian = torch.autograd.functional.hessian(
        lambda x: _whole_loss(x.reshape(count, 2)), point.detach().flatten()
    )
    values = torch.linalg.eigvalsh(hessian)  # pyright: ignore[reportArgumentType]
    assert float(values[0]) > -1e-12
    # Two stiff directions, all others flat at order two: 32/sqrt(m) along e_1 and 8/sqrt(m) along e_2.
    assert values[-2:].tolist() == pytest.approx([8 / count**0.5, 32 / count**0.5], rel=1e-12)
    assert float(values[:-2].abs().max()) < 1e-12


@pytest.mark.parametrize(
    ("count", "expected"), [(2, 8.0), (3, 2.25), (4, 0.593), (5, -0.156), (6, -0.576), (8, -1.026)]
)
def test_a2_the_bad_minimum_becomes_a_saddle_at_five_components(count: int, expected: float) -> None:
    assert abs(bad._coefficient(count) - expected) < 2e-3
    others = torch.randn(2000, count, generator=_generator(count), dtype=torch.float64)
    others = others - others.mean(1, keepdim=True)
    others = others / others.abs().amax(1, keepdim=True)
    values = []
    for length in (0.02, 0.04):
        moved = bad._stuck(count).expand(2000, count, 2).clone()
        moved[..., 1] = length * others
        values.append((bad._naive_loss(moved) - 1) / length**4)
    formula = 6 / count * others.square().sum(1).square() - 2 * others.pow(4).sum(1)
    torch.testing.assert_close((4 * values[0] - values[1]) / 3, formula, atol=2e-3, rtol=0)
    assert bool((formula > 0).all()) == (count <= 4)


@pytest.mark.parametrize("count", [3, 5])
def test_a_step_is_one_of_gradient_descent(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    start = bad._stuck(count) + 0.1 * torch.randn(2, count, 2, generator=_generator(3), dtype=torch.float64)
    seen: list[Tensor] = []

    def watch(vectors: Tensor) -> Tensor:
        seen.append(vectors.clone())
        return torch.ones(len(vectors))

    monkeypatch.setattr(bad, "_naive_loss", watch)
    monkeypatch.setattr(bad, "_LOOK", 1)
    assert bad._escape_times(start, 3 * bad._STEP) == [None, None]
    assert len(seen) == 3
    for before, after in zip([start, *seen], seen, strict=False):
        point = before.clone().requires_grad_()
        loss = torch.stack([_whole_loss(run) for run in point]).sum()
        (gradient,) = torch.autograd.grad(loss, point)
        torch.testing.assert_close(after, before - bad._STEP * gradient, rtol=1e-12, atol=1e-14)


def test_a2_descent_along_the_best_direction_escapes_with_five_components() -> None:
    for count in (2, 3, 4, 5, 6, 8):
        vectors = bad._stuck(count)
        vectors[:, 1] = -0.05 / (count - 1)
        vectors[0, 1] = 0.05
        (time,) = bad._escape_times(vectors.unsqueeze(0), 200.0)
        assert (time is not None) == (count >= 5)


# Five components have few directions to escape by, see below, so that 10 of 10 is asked of six and more only.
@pytest.mark.parametrize(("count", "expected"), [(2, 0), (6, 10), (8, 10), (12, 10)])
def test_a2_descent_from_noise(count: int, expected: int) -> None:
    noise = 0.2 * torch.rand(10, count, 2, generator=_generator(count), dtype=torch.float64) - 0.1
    times = bad._escape_times(bad._stuck(count) + noise, 240.0)
    assert sum(time is not None for time in times) == expected


def test_five_components_of_different_lengths_can_hold_a_run() -> None:
    # With components x_i e_1, sum x_i^4 = 1, the term of order four is 6 (sum x_i² e_i²)² - 2 sum e_i^4 for e with
    # sum x_i³ e_i = 0. Along a long first component it is above 0, and the flow keeps to that direction.
    lengths = torch.tensor([1.3, 0.9, 0.9, 0.9, 1.0], dtype=torch.float64) ** 0.25
    lengths = lengths / lengths.pow(4).sum() ** 0.25
    direction = torch.ones(5, dtype=torch.float64)
    direction[1:] = -(lengths[0] ** 3) / lengths[1:].pow(3).sum()
    term = float(6 * (lengths * direction).square().sum() ** 2 - 2 * direction.pow(4).sum())
    assert term > 0
    values = []
    for length in (0.01, 0.02):
        vectors = torch.stack([lengths, length * direction], dim=1)
        # What the lengths follow up at order four is left out: they are put back to sum x_i^4 = 1 by construction.
        values.append(float(bad._naive_loss(vectors) - 1) / length**4)
    assert (4 * values[0] - values[1]) / 3 == pytest.approx(term, abs=2e-3)
    start = torch.stack([lengths, 0.05 * direction], dim=1)
    assert bad._escape_times(start.unsqueeze(0), 1000.0) == [None]
    equal = bad._stuck(5)
    equal[:, 1] = start[:, 1]
    assert bad._escape_times(equal.unsqueeze(0), 1000.0) != [None]


# -- the study --------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def small() -> StudyRun:
    parameters: dict[str, Any] = {**BAD_MINIMUM.quick, "noises": [[0.1, 100, 3], [0.01, 50, 2]], "runs": 3}
    run = StudyRun(study=BAD_MINIMUM.name, size="small", parameters=parameters)
    return run_study(BAD_MINIMUM, run, Setting())


def test_every_check_is_decided(small: StudyRun) -> None:
    findings = {finding.name: finding for finding in judge(BAD_MINIMUM.checks, small.records(BAD_MINIMUM))}
    assert {finding.holds for finding in findings.values()} == {True, False}
    # A hundredth of the time leaves no run from noise of 0.01 away.
    assert findings["A2 small noise m=8"].holds is False
    for count in (2, 3, 4, 5, 6, 8):
        assert findings[f"A2 coefficient m={count}"].holds
    assert findings["A2 descent m=12"].holds
    assert findings["A7 equal signs"].holds
    assert findings["A7 random signs"].holds


def test_checks_fail_where_width_does_not_help(small: StudyRun) -> None:
    wrong = [
        {**row, "escaped": row["runs"] - row["escaped"]} if "escaped" in row else row for row in small.rows
    ]
    findings = judge(BAD_MINIMUM.checks, Records(small.records(BAD_MINIMUM).cases, wrong))
    failed = {finding.name for finding in findings if finding.holds is False}
    assert {"A2 descent m=2", "A2 descent m=12", "A2 small noise m=3"} <= failed
    assert verdict(findings) == "holds in part"


def test_a_run_begun_anew_gives_the_same(small: StudyRun) -> None:
    cases = small.records(BAD_MINIMUM).cases
    for case, row in reversed(list(zip(cases, small.rows, strict=True))):
        assert {**case, **BAD_MINIMUM.run(case, Setting())} == row


@pytest.mark.parametrize("part", ["none", "coefficient", "descent", "signs", "all"])
def test_tables_and_figure_of_partial_records(small: StudyRun, part: str) -> None:
    rows = [row for row in small.rows if part in ("all", row["part"])]
    records = Records(small.records(BAD_MINIMUM).cases, rows)
    assert len(BAD_MINIMUM.tables(records)) == 2
    figure = Figure()
    BAD_MINIMUM.plot(records, figure)
    figure.canvas.draw()
