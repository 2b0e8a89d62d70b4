"""The cases of the study on random features, neural tangent and full training: targets, weights, one run of each."""

import math

import torch
from torch import Tensor

from rankfold.studies._records import Case, Record
from rankfold.studies._rf_nt_nn_exact import (
    mixture_features_risk,
    mixture_network_risk,
    mixture_tangent_risk,
    quadratic_features_risk,
    quadratic_network_risk,
    quadratic_tangent_fit,
    quadratic_tangent_risk,
    relu_features_risk,
)
from rankfold.studies._rf_nt_nn_formulas import (
    features_formula,
    mixture_formula,
    network_formula,
    network_limit,
    relu_formula,
    tangent_formula,
    trace_ratio,
)
from rankfold.studies._rf_nt_nn_training import (
    descended_risk,
    lbfgs_risk,
    one_pass_network_risk,
    one_pass_tangent_risk,
)

__all__ = ["mixture_formulas", "quadratic_formulas", "run_case", "separation", "spectrum_of"]


def run_case(case: Case) -> Record:
    """Run one case of any part."""
    runs = {
        "quadratic": _quadratic,
        "mixture": _mixture,
        "separation": _mixture,
        "gap": _gap,
        "descent": _descent,
        "width": _width,
        "one pass": _one_pass,
    }
    return runs[case["part"]](case)


def spectrum_of(size: int, seed: int) -> Tensor:
    """Eigenvalues of the target: exponential of mean 1, as in the authors' code."""
    generator = torch.Generator().manual_seed(seed)
    return torch.empty(size, dtype=torch.float64).exponential_(generator=generator)


def separation(case: Case) -> Tensor:
    """Spectrum of Delta, the same as that of the quadratic target up to the largest value."""
    spectrum = spectrum_of(case["d"], case["seed"])
    return case["size"] * spectrum / spectrum.max()


def _weights(case: Case, count: int, draw: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(case["seed"] + 1 + draw)  # + 1: the seed itself gave the target
    return torch.randn(count, case["d"], generator=generator, dtype=torch.float64) / math.sqrt(case["d"])


def _quadratic(case: Case) -> Record:
    spectrum, rho = spectrum_of(case["d"], case["seed"]), case["rho"]
    count = round(rho * case["d"])
    shape = spectrum * case["d"] / spectrum.sum()
    risks: dict[str, list[float]] = {name: [] for name in ("rf", "rf_shaped", "relu", "nt", "nn")}
    for draw in range(case["draws"]):
        weights = _weights(case, count, draw)
        risks["rf"].append(quadratic_features_risk(weights, spectrum))
        risks["rf_shaped"].append(quadratic_features_risk(weights * shape.sqrt(), spectrum))
        risks["relu"].append(relu_features_risk(weights, spectrum))
        risks["nt"].append(quadratic_tangent_risk(weights, spectrum))
        risks["nn"].append(lbfgs_risk(quadratic_network_risk, weights, spectrum, case["steps"]))
    return {**risks, "formula": quadratic_formulas(rho, spectrum)}


def quadratic_formulas(rho: float, spectrum: Tensor) -> dict[str, float]:
    """The formulas of all models on the quadratic target; ``limit`` is that of exponential eigenvalues."""
    size, kappa = len(spectrum), trace_ratio(spectrum)
    return {
        "rf": features_formula(rho, spectrum),
        "rf_shaped": features_formula(rho, spectrum, spectrum * size / spectrum.sum()),
        "relu": relu_formula(rho, kappa),
        "nt": tangent_formula(rho, kappa),
        "nn": network_formula(round(rho * size), spectrum),
        "limit": network_limit(rho),
    }


def _mixture(case: Case) -> Record:
    spectrum = separation(case)
    count = round(case["rho"] * case["d"])
    risks: dict[str, list[float]] = {name: [] for name in ("rf", "nt", "nn")}
    for draw in range(case["draws"]):
        weights = _weights(case, count, draw)
        risks["rf"].append(mixture_features_risk(weights, spectrum))
        risks["nt"].append(mixture_tangent_risk(weights, spectrum))
        risks["nn"].append(lbfgs_risk(mixture_network_risk, weights, spectrum, case["steps"]))
    return {**risks, "formula": mixture_formulas(case["rho"], spectrum)}


def mixture_formulas(rho: float, spectrum: Tensor) -> dict[str, float]:
    """The formulas of all models on the mixture."""
    quadratic = quadratic_formulas(rho, spectrum)
    return {name: mixture_formula(quadratic[name], spectrum) for name in ("rf", "nt", "nn")}


def _gap(case: Case) -> Record:
    """The target ``x_1² + ... + x_N²``, which N neurons represent."""
    count = round(case["rho"] * case["d"])
    spectrum = torch.zeros(case["d"], dtype=torch.float64)
    spectrum[:count] = 1
    drawn = [_weights(case, count, draw) for draw in range(case["draws"])]
    return {
        "rf": [quadratic_features_risk(weights, spectrum) for weights in drawn],
        "nt": [quadratic_tangent_risk(weights, spectrum) for weights in drawn],
        "nn": [lbfgs_risk(quadratic_network_risk, weights, spectrum, case["steps"]) for weights in drawn],
    }


def _descent(case: Case) -> Record:
    spectrum = spectrum_of(case["d"], case["seed"])
    risk = descended_risk(_weights(case, case["N"]), spectrum, case["steps"])
    return {"risk": risk, "formula": network_formula(case["N"], spectrum)}


def _width(case: Case) -> Record:
    return {"risk": quadratic_tangent_fit(_weights(case, case["N"]), spectrum_of(case["d"], case["seed"]))}


def _one_pass(case: Case) -> Record:
    spectrum, count = spectrum_of(case["d"], case["seed"]), round(case["rho"] * case["d"])
    weights, steps = _weights(case, count), case["steps"]
    generator = torch.Generator().manual_seed(case["seed"] + 100)  # apart from the seeds of the weights
    return {
        "nt": one_pass_tangent_risk(weights, spectrum, steps, generator),
        "nn": one_pass_network_risk(weights, spectrum, steps, generator),
        "best": {"nt": quadratic_tangent_risk(weights, spectrum), "nn": network_formula(count, spectrum)},
    }
