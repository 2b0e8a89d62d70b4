"""The cases of the study on adaptive methods: the data, one run of each."""

import torch
from torch import Tensor

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
from rankfold.studies._records import Case, Record

__all__ = ["run_case"]


def run_case(case: Case) -> Record:
    """Run one case of any part."""
    if case["part"] == "classes":
        return _classes(case)
    generator = torch.Generator().manual_seed(case["seed"])
    inputs = torch.randn(case["n"], case["d"], generator=generator, dtype=torch.float64)
    labels = torch.randn(case["n"], generator=generator, dtype=torch.float64)
    if case["part"] == "fixed":
        return _fixed(case, inputs, labels, generator)
    return _descent(case, inputs, labels, generator)


def _descent(case: Case, inputs: Tensor, labels: Tensor, generator: torch.Generator) -> Record:
    steps = case["steps"]
    if case["part"] == "epsilon":
        build = full_adagrad(case["epsilon"])
    else:
        (build,) = (method.build for method in METHODS if method.name == case["method"])
    kept = sorted({round(steps ** (number / 40)) for number in range(41)} | {steps // 2})
    found = trajectory(build(inputs, labels, generator, steps), torch.zeros_like(inputs[0]), steps, kept)
    best, projection = minimum_norm(inputs, labels), span_projection(inputs)
    norm = float(best.norm())
    outside = {number: weights - projection @ weights for number, weights in found.items()}
    end = found[steps]
    return {
        "distance": float((end - best).norm()) / norm,
        "outside": float(outside[steps].norm()) / norm,
        "inside": float((projection @ end - best).norm()) / norm,
        "residual": float((inputs @ end - labels).norm()),
        "late_change": float((outside[steps] - outside[steps // 2]).norm()) / norm,
        "numbers": list(outside),
        "curve": [float(part.norm()) / norm for part in outside.values()],
    }


def _fixed(case: Case, inputs: Tensor, labels: Tensor, generator: torch.Generator) -> Record:
    """Gradient descent with a random fixed diagonal D, log normal, against the closed form."""
    scale = torch.randn(case["d"], generator=generator, dtype=torch.float64).exp()
    start = torch.randn(case["d"], generator=generator, dtype=torch.float64)
    if case["from_zero"]:
        start = torch.zeros_like(start)
    steps = case["steps"]
    end = trajectory(fixed_diagonal(scale, inputs, labels), start, steps, [steps])[steps]
    expected = preconditioned_limit(inputs, labels, scale, start)
    best = minimum_norm(inputs, labels)
    return {
        "deviation": float((end - expected).norm() / expected.norm()),
        "distance": float((end - best).norm() / best.norm()),
    }


def _classes(case: Case) -> Record:
    count, scale = case["n"], case["scale"]
    positive = round(case["share"] * count)
    rows, labels = class_rows(count, positive, scale)
    weights = SOLUTIONS[case["solution"]](rows, labels, case["steps"])
    signs = (rows.mT @ labels).sign()
    upper, lower = fresh_scores(weights, scale)
    expected = torch.tensor(minimum_norm_start(positive, count - positive), dtype=torch.float64)
    return {
        "positive_score": upper,
        "negative_score": lower,
        "accuracy": accuracy(weights, positive / count, scale),
        "residual": float((rows @ weights - labels).norm()),
        "sign_cosine": float(weights @ signs / (weights.norm() * signs.norm())),
        "formula_deviation": float((weights[:3] - expected).abs().max()),
        "least_scale": least_scale(positive, count - positive),
    }
