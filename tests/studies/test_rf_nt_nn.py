"""Random features, neural tangent and full training: risks in closed form against samples, formulas, the study."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure
from torch import Tensor

from rankfold.studies import Records, Setting, StudyRun, judge, run_study
from rankfold.studies import _rf_nt_nn_exact as exact
from rankfold.studies import _rf_nt_nn_formulas as formulas
from rankfold.studies._rf_nt_nn import RF_NT_NN
from rankfold.studies._rf_nt_nn_training import _risk_of, descended_risk, lbfgs_risk

SAMPLES = 200_000


def _generator(seed: int = 5) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _normal(*shape: int, seed: int = 5) -> Tensor:
    return torch.randn(*shape, generator=_generator(seed), dtype=torch.float64)


def _exponential(size: int, seed: int = 5) -> Tensor:
    return torch.empty(size, dtype=torch.float64).exponential_(generator=_generator(seed))


def _quadratic(inputs: Tensor, weights: Tensor) -> Tensor:
    return (inputs @ weights.mT).square()


def _relu(inputs: Tensor, weights: Tensor) -> Tensor:
    return (inputs @ weights.mT).relu()


def _tangent(inputs: Tensor, weights: Tensor) -> Tensor:
    products = (inputs @ weights.mT)[:, :, None] * inputs[:, None, :]
    return products.flatten(1)


def _regressed(features: Tensor, labels: Tensor) -> tuple[float, float]:
    """The least mean square over the samples, over that of the best constant, and its standard error."""
    system = torch.cat([torch.ones(len(features), 1, dtype=torch.float64), features], dim=1)
    gram = system.mT @ system
    solution = torch.linalg.pinv(gram, hermitian=True) @ (system.mT @ labels)
    squares = (system @ solution - labels).square() / labels.var()
    return float(squares.mean()), float(squares.std()) / len(labels) ** 0.5


def _mixture(spectrum: Tensor, seed: int = 5) -> tuple[Tensor, Tensor]:
    labels = torch.ones(SAMPLES, dtype=torch.float64)
    labels[::2] = -1
    return _normal(SAMPLES, len(spectrum), seed=seed) * (1 + labels[:, None] * spectrum).sqrt(), labels


@pytest.mark.parametrize(
    ("risk", "features", "count"),
    [
        (exact.quadratic_features_risk, _quadratic, 4),
        (exact.relu_features_risk, _relu, 7),
        (exact.quadratic_tangent_risk, _tangent, 2),
    ],
)
def test_risks_on_the_quadratic_target_are_those_of_samples(
    risk: Callable[[Tensor, Tensor], float], features: Callable[[Tensor, Tensor], Tensor], count: int
) -> None:
    spectrum, weights, inputs = _exponential(5), _normal(count, 5, seed=6), _normal(SAMPLES, 5)
    sampled, error = _regressed(features(inputs, weights), inputs.square() @ spectrum)
    # Both the numerator and the variance of the labels are sampled; the latter has about the same error.
    assert 0.05 < sampled < 0.98
    assert risk(weights, spectrum) == pytest.approx(sampled, abs=6 * error)


@pytest.mark.parametrize(
    ("risk", "features", "count"),
    [(exact.mixture_features_risk, _quadratic, 4), (exact.mixture_tangent_risk, _tangent, 2)],
)
def test_risks_on_the_mixture_are_those_of_samples(
    risk: Callable[[Tensor, Tensor], float], features: Callable[[Tensor, Tensor], Tensor], count: int
) -> None:
    spectrum = torch.tensor([0.9, 0.7, 0.4, 0.1, -0.5], dtype=torch.float64)
    weights = _normal(count, 5, seed=6)
    inputs, labels = _mixture(spectrum)
    sampled, error = _regressed(features(inputs, weights), labels)
    assert 0.3 < sampled < 0.98
    assert risk(weights, spectrum) == pytest.approx(sampled, abs=6 * error)


def test_risks_of_given_networks_are_those_of_samples() -> None:
    spectrum, weights = _exponential(4) / 5, _normal(3, 4, seed=6) / 3
    inputs = _normal(SAMPLES, 4)
    squares = ((inputs @ weights.mT).square().sum(1) - inputs.square() @ spectrum) ** 2
    mean = float((weights.square().sum() - spectrum.sum()) ** 2)  # what the best offset removes
    sampled = (float(squares.mean()) - mean) / float(2 * spectrum.square().sum())
    error = float(squares.std() / SAMPLES**0.5 / (2 * spectrum.square().sum()))
    assert float(exact.quadratic_network_risk(weights, spectrum)) == pytest.approx(sampled, abs=5 * error)
    inputs, labels = _mixture(spectrum)
    scores = (inputs @ weights.mT).square().sum(1)
    squares = (scores - scores.mean() - labels) ** 2
    error = float(squares.std()) / SAMPLES**0.5
    found = float(exact.mixture_network_risk(weights, spectrum))
    assert found == pytest.approx(float(squares.mean()), abs=5 * error)


def test_the_risk_of_a_trained_model_is_that_of_samples() -> None:
    drawn = _normal(4, 4, seed=7) / 4
    matrix, target, inputs = (drawn + drawn.mT) / 2, _exponential(4), _normal(SAMPLES, 4)
    target = target / float(2 * target.square().sum()) ** 0.5
    errors = ((inputs @ matrix) * inputs).sum(1) + 0.3 - (inputs.square() @ target - target.sum())
    error = float(errors.square().std()) / SAMPLES**0.5
    assert _risk_of(matrix, 0.3, target) == pytest.approx(float(errors.square().mean()), abs=5 * error)


@pytest.mark.parametrize("count", [3, 7, 8, 11])
def test_the_projection_solves_the_least_squares_problem(count: int) -> None:
    spectrum, weights = _exponential(8), _normal(count, 8, seed=9)
    fitted = exact.quadratic_tangent_fit(weights, spectrum)
    assert fitted == pytest.approx(exact.quadratic_tangent_risk(weights, spectrum), abs=1e-12)


def test_tangent_contains_features_and_all_of_d_neurons_is_the_best_quadratic() -> None:
    spectrum = torch.tensor([0.8, 0.5, 0.2, 0.1], dtype=torch.float64)
    few, many = _normal(2, 4, seed=3), _normal(10, 4, seed=3)
    assert exact.mixture_tangent_risk(few, spectrum) < exact.mixture_features_risk(few, spectrum)
    # 10 = 4 * 5/2 features span all quadratic forms; then A = Delta/(2 + 2 Delta²) up to a factor.
    best = 1 / (1 + float((spectrum.square() / (2 + 2 * spectrum.square())).sum()))
    assert exact.mixture_features_risk(many, spectrum) == pytest.approx(best, abs=1e-9)
    assert exact.mixture_tangent_risk(many, spectrum) == pytest.approx(best, abs=1e-12)


def test_hermite_coefficients_of_the_rectifier() -> None:
    points = torch.linspace(0, 12, 200_001, dtype=torch.float64)
    density = torch.exp(-points.square() / 2) / math.sqrt(2 * math.pi)

    def mean(values: Tensor) -> float:
        return float(torch.trapezoid(values * density, points))

    first, second = mean(points * points), mean(points * (points.square() - 1)) / math.sqrt(2)
    rest = mean(points.square()) - mean(points) ** 2 - first**2
    assert pytest.approx((first**2, second**2, rest), abs=1e-8) == formulas.RELU


@pytest.mark.parametrize("rho", [0.3, 1.0, 2.5])
def test_the_rectified_formula_uses_the_trace_of_marchenko_and_pastur(rho: float) -> None:
    d = 300
    weights = _normal(round(rho * d), d) / math.sqrt(d)
    first, second, rest = formulas.RELU
    eye = torch.eye(len(weights), dtype=torch.float64)
    share = float(torch.linalg.inv(first * weights @ weights.mT + rest * eye).trace()) / len(weights)
    quotient = second * rho * share
    # The trace fluctuates by about 1/d.
    assert formulas.relu_formula(rho, 0.5) == pytest.approx(1 - 0.5 * quotient / (1 + quotient), abs=1 / d)


@pytest.mark.parametrize("rho", [0.2, 0.6])
def test_formulas_are_the_limits_of_the_risks(rho: float) -> None:
    """The distance falls with d, as the terms that are left out do: they are of size 1/d."""
    for d in (100, 400):
        spectrum, weights = _exponential(d), _normal(round(rho * d), d, seed=8)
        kappa = formulas.trace_ratio(spectrum)
        shape = spectrum * d / spectrum.sum()
        pairs = [
            (exact.quadratic_features_risk(weights, spectrum), formulas.features_formula(rho, spectrum)),
            (
                exact.quadratic_features_risk(weights * shape.sqrt(), spectrum),
                formulas.features_formula(rho, spectrum, shape),
            ),
            (exact.quadratic_tangent_risk(weights, spectrum), formulas.tangent_formula(rho, kappa)),
            (exact.relu_features_risk(weights, spectrum), formulas.relu_formula(rho, kappa)),
        ]
        for found, expected in pairs:
            assert found == pytest.approx(expected, abs=4 / d)


def test_the_limit_of_exponential_eigenvalues() -> None:
    spectrum = _exponential(200_000)
    for rho in (0.05, 0.3, 0.8, 1.0, 2.0):
        found = formulas.network_formula(round(rho * len(spectrum)), spectrum)
        assert found == pytest.approx(formulas.network_limit(rho), abs=0.01)


def test_training_ends_at_the_best_rank() -> None:
    spectrum, weights = _exponential(12), _normal(4, 12, seed=4) / 4
    best = formulas.network_formula(4, spectrum)
    assert descended_risk(weights, spectrum, 5000) == pytest.approx(best, abs=1e-10)
    assert lbfgs_risk(exact.quadratic_network_risk, weights, spectrum, 100) == pytest.approx(best, abs=1e-10)


@pytest.fixture(scope="module")
def tiny() -> StudyRun:
    parameters: dict[str, Any] = {
        **RF_NT_NN.quick,
        "d": 60,
        "draws": 2,
        "ratios": [0.25, 1.0],
        "steps": 80,
        "separations": [0.1],
        "small": 10,
        "one_pass": {"d": 12, "steps": 3000},
        "one_pass_ratios": [0.5],
    }
    return run_study(RF_NT_NN, StudyRun(study=RF_NT_NN.name, size="tiny", parameters=parameters), Setting())


def test_what_is_exact_at_every_size_holds_in_a_tiny_run(tiny: StudyRun) -> None:
    findings = {finding.name: finding for finding in judge(RF_NT_NN.checks, tiny.records(RF_NT_NN))}
    assert all(finding.holds is not None for finding in findings.values())
    for name in ("C1 N=10", "C1 N=25", "C1 N=60", "C1 curve", "C5 quadratic", "C5 mixture", "C6", "C6 below"):
        assert findings[name].holds, findings[name]
    assert findings["gap tangent"].holds
    assert findings["gap trained"].holds


def test_one_pass_comes_near_the_optimum(tiny: StudyRun) -> None:
    (row,) = tiny.records(RF_NT_NN).where(part="one pass")
    assert row["best"]["nt"] <= row["nt"] < row["best"]["nt"] + 0.05
    assert row["best"]["nn"] <= row["nn"] < row["best"]["nn"] + 0.05


def test_a_resumed_run_is_the_same(tiny: StudyRun) -> None:
    half = StudyRun(study=tiny.study, size=tiny.size, parameters=tiny.parameters, rows=tiny.rows[1:])
    again = run_study(RF_NT_NN, half, Setting())
    assert again.rows[-1] == tiny.rows[0]


@pytest.mark.parametrize("step", [1, 3, 1000])
def test_partial_records_are_shown(tiny: StudyRun, step: int) -> None:
    records = Records(tiny.records(RF_NT_NN).cases, tiny.rows[::step])
    assert len(RF_NT_NN.tables(records)) == 6
    RF_NT_NN.plot(records, Figure(layout="constrained"))
