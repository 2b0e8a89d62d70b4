"""Damped Gauss-Newton steps and the method made of them."""

from itertools import pairwise

import pytest
import torch
from tests.decompose.cp_problems import dense, drawn, exact, flat, jacobian, noise, noisy, observed, settings
from torch import Tensor

from rankfold.decompose import _damped_step
from rankfold.decompose._als import alternate
from rankfold.decompose._complete import CompleteData
from rankfold.decompose._damped_step import damped_step, mean_diagonal
from rankfold.decompose._data import Data
from rankfold.decompose._gauss_newton import refine
from rankfold.decompose._masked import MaskedData
from rankfold.decompose._recorder import Recorder

SHAPE = (4, 5, 3)


def data_of(masked: bool, seed: int = 0) -> Data:
    x = noisy(exact(SHAPE, 2, seed), 0.1, seed)
    return MaskedData(x, observed(SHAPE, 0.8, seed)) if masked else CompleteData(x)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("ridge", [0.0, 0.3])
def test_step_solves_the_damped_system(masked: bool, ridge: float) -> None:
    data, point = data_of(masked), drawn(SHAPE, 3, 5)
    loss, gradient = data.gradients(point)
    gradient = [g + ridge * p for g, p in zip(gradient, point, strict=True)]
    weights = data.weights if isinstance(data, MaskedData) else torch.ones(SHAPE, dtype=torch.float64)
    slopes = jacobian(point) * weights.reshape(-1, 1)
    system = slopes.mT @ slopes
    shifted = system + (0.7 + ridge) * torch.eye(len(system), dtype=torch.float64)
    expected = torch.linalg.solve(shifted, -flat(gradient))
    step = damped_step(data.normal(point), point, gradient, 0.7, ridge)
    assert step is not None
    torch.testing.assert_close(flat(step.change), expected, rtol=1e-9, atol=1e-11)
    # The promise is the fall of the quadratic model without damping.
    curved = system + ridge * torch.eye(len(system), dtype=torch.float64)
    model = flat(gradient) @ expected + 0.5 * expected @ curved @ expected
    assert step.predicted == pytest.approx(-float(model), rel=1e-9)
    assert loss > 0


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("nonnegative", [False, True])
def test_conjugate_gradients_do_as_cholesky(
    masked: bool, nonnegative: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, point = data_of(masked), drawn(SHAPE, 3, 5)
    if nonnegative:
        point = [p.clamp_min(0) for p in point]
    _, gradient = data.gradients(point)
    normal = data.normal(point)
    direct = damped_step(normal, point, gradient, 0.5, 0.0, nonnegative=nonnegative)
    monkeypatch.setattr(_damped_step, "DENSE_PARAMETERS", 0)
    monkeypatch.setattr(_damped_step, "_CG_TOLERANCE", 1e-12)
    monkeypatch.setattr(normal, "matrix", lambda: pytest.fail("the matrix was formed"))
    iterated = damped_step(normal, point, gradient, 0.5, 0.0, nonnegative=nonnegative)
    assert direct is not None
    assert iterated is not None
    torch.testing.assert_close(flat(iterated.change), flat(direct.change), rtol=1e-8, atol=1e-9)
    assert iterated.predicted == pytest.approx(direct.predicted, rel=1e-7)


def test_conjugate_gradients_stop_early_and_still_descend(monkeypatch: pytest.MonkeyPatch) -> None:
    data, point = data_of(False), drawn(SHAPE, 3, 5)
    _, gradient = data.gradients(point)
    monkeypatch.setattr(_damped_step, "DENSE_PARAMETERS", 0)
    step = damped_step(data.normal(point), point, gradient, 1e-3, 0.0)
    assert step is not None
    assert step.predicted > 0
    assert float(flat(gradient) @ flat(step.change)) < 0


def test_projected_step_is_feasible_and_moves_only_what_is_free() -> None:
    data = data_of(False)
    point = [p.clamp_min(0) for p in drawn(SHAPE, 3, 5)]
    _, gradient = data.gradients(point)
    step = damped_step(data.normal(point), point, gradient, 1e-3, 0.0, nonnegative=True)
    assert step is not None
    held = 0
    for p, g, c in zip(point, gradient, step.change, strict=True):
        assert bool((p + c >= 0).all())
        bound = (p == 0) & (g > 0)
        held += int(bound.sum())
        assert bool((c[bound] == 0).all())
    assert held > 0


def test_singular_system_gives_no_step() -> None:
    point = [torch.zeros(size, 2, dtype=torch.float64) for size in SHAPE]
    data = data_of(False)
    assert damped_step(data.normal(point), point, point, 0.0, 0.0) is None
    assert mean_diagonal(data.normal(point)) == 0


def objective(data: Data, factors: list[Tensor], ridge: float) -> float:
    return data.loss(factors) + 0.5 * ridge * float(flat(factors).square().sum())


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("nonnegative", [False, True])
@pytest.mark.parametrize("ridge", [0.0, 0.05])
def test_objective_never_grows(masked: bool, nonnegative: bool, ridge: float) -> None:
    data = data_of(masked)
    start = [p.abs() if nonnegative else p for p in drawn(SHAPE, 3, 5)]
    values = [
        objective(
            data,
            refine(data, start, settings(nonnegative=nonnegative), iterations=count, ridge=ridge),
            ridge,
        )
        for count in range(0, 40, 3)
    ]
    # The first value is that of the balanced start; balancing lowers the ridge and leaves the loss.
    assert values[0] <= objective(data, start, ridge) * (1 + 1e-12)
    assert all(after <= before * (1 + 1e-12) for before, after in pairwise(values))
    assert values[-1] < 0.5 * values[0]


@pytest.mark.parametrize("masked", [False, True])
def test_it_ends_where_the_gradient_vanishes(masked: bool) -> None:
    data = data_of(masked)
    factors = refine(data, drawn(SHAPE, 2, 5), settings(), iterations=500, tolerance=0.0)
    loss, gradient = data.gradients(factors)
    assert float(flat(gradient).norm()) <= 1e-5 * data.norm**2
    assert loss > 0


def test_exact_data_are_fitted_to_rounding() -> None:
    data = CompleteData(exact((6, 5, 4), 3, 1))
    factors = refine(data, drawn((6, 5, 4), 3, 2), settings())
    assert (2 * data.loss(factors)) ** 0.5 <= 1e-12 * data.norm


def test_nonnegative_factors_stay_so() -> None:
    data = CompleteData(noise(SHAPE, 3))
    factors = refine(data, [p.abs() for p in drawn(SHAPE, 3, 5)], settings(nonnegative=True))
    assert all(bool((factor >= 0).all()) for factor in factors)
    assert any(bool((factor == 0).any()) for factor in factors)


def test_start_is_not_changed_and_norms_are_spread() -> None:
    start = drawn(SHAPE, 2, 5)
    before = [p.clone() for p in start]
    factors = refine(data_of(False), start, settings())
    assert all(torch.equal(new, old) for new, old in zip(start, before, strict=True))
    norms = torch.stack([torch.linalg.vector_norm(f, dim=0) for f in factors])
    torch.testing.assert_close(norms, norms[:1].expand_as(norms), rtol=1e-10, atol=0)


def test_many_parameters_go_without_the_matrix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_damped_step, "DENSE_PARAMETERS", 0)
    for masked in (False, True):
        x = exact(SHAPE, 2, 1)
        data: Data = MaskedData(x, observed(SHAPE, 0.8, 1)) if masked else CompleteData(x)
        factors = refine(data, drawn(SHAPE, 2, 7), settings())
        assert (2 * data.loss(factors)) ** 0.5 <= 1e-9 * data.norm


def test_a_stopped_run_makes_no_step() -> None:
    recorder = Recorder(lambda _: True)
    recorder.note("before", 1.0, 2)
    start = drawn(SHAPE, 2, 5)
    factors = refine(data_of(False), start, settings(recorder=recorder))
    assert len(recorder.points) == 1
    torch.testing.assert_close(dense(factors), dense(start), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("nonnegative", [False, True])
def test_sweeps_of_alternating_least_squares_never_raise_the_error(masked: bool, nonnegative: bool) -> None:
    data = data_of(masked)
    given = settings(nonnegative=nonnegative)
    start = [p.abs() if nonnegative else p for p in drawn(SHAPE, 2, 5)]
    factors, error = alternate(data, start, given, sweeps=40, tolerance=-1.0)
    errors = [point.relative_error for point in given.recorder.points]
    assert len(errors) == 40
    assert all(after <= before + 1e-9 for before, after in pairwise(errors))
    assert error == errors[-1] == pytest.approx((2 * data.loss(factors)) ** 0.5 / data.norm, rel=1e-6)
    assert all(bool((factor >= 0).all()) for factor in factors) or not nonnegative
    norms = torch.stack([torch.linalg.vector_norm(factor, dim=0) for factor in factors])
    torch.testing.assert_close(norms, norms[:1].expand_as(norms), rtol=1e-10, atol=0)
