"""What the mathematics of elementwise products says, measured: penalty, lasso, balance, decay, starts."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from rankfold.init import product_factors
from rankfold.layers import hadamard_weights
from rankfold.regularize import collapse_hadamard, hadamard, hadamard_penalty, misalignment
from rankfold.studies._records import Case, Record, Unavailable
from rankfold.studies._study import Setting

__all__ = ["EXACT", "STD"]

STD = 0.0816  # He's deviation for 300 inputs, as of the first layer of LeNet-300-100 in the paper
_ENTRIES = 1_000_000
_DEAD = 1e-3


def _layer(weight: Tensor, depth: int) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False, dtype=torch.float64)
    layer.weight.data = weight.clone()
    hadamard(layer, depth)
    return layer


def _factors(layer: nn.Module) -> tuple[Tensor, ...]:
    ((_, _, factors),) = hadamard_weights(layer)
    return factors


def _normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def _penalty(case: Case, setting: Setting) -> Record:
    """Split evenly it is ``Σ |w|^(2/D)``; for other factors at least that, by what `misalignment` says."""
    depth, generator = case["depth"], torch.Generator().manual_seed(case["seed"])
    weight = _normal(generator, 20, 15)
    layer = _layer(weight, depth)
    least = float((weight.abs() ** (2 / depth)).sum())
    balanced = abs(float(hadamard_penalty(layer, 1.0).detach()) / least - 1)
    excess, differences = [], []
    for _ in range(case["draws"]):
        for factor in _factors(layer):
            factor.data = _normal(generator, 20, 15)
        least = float((layer.weight.detach().abs() ** (2 / depth)).sum())
        above = float(hadamard_penalty(layer, 1.0).detach()) - least
        excess.append(above / least)
        differences.append(abs(misalignment(layer)[""] - above) / least)
    return {"balanced": balanced, "least excess": min(excess), "misalignment": max(differences)}


def _lasso(case: Case, setting: Setting) -> Record:
    """Least squares ``||y - X w||² / (2 n) + alpha ||w||_1`` by gradient descent on two factors and by scikit-learn.

    Coordinates that start with the wrong sign would have to pass through zero, where both factors are zero and stay
    so; the signs of the start are those of ``Xᵀ y``. The other start, all positive, shows what happens else.
    """
    try:
        from sklearn.linear_model import Lasso
    except ImportError as error:
        raise Unavailable(
            "deep-factorization: scikit-learn is not installed; pip install 'rankfold[cli]'."
        ) from error
    generator = torch.Generator().manual_seed(case["seed"])
    inputs, truth = _normal(generator, 60, 12), torch.zeros(12, dtype=torch.float64)
    truth[:3] = torch.tensor([2.0, -1.5, 0.7])
    targets, alpha = inputs @ truth + 0.3 * _normal(generator, 60), 0.1
    solver = Lasso(alpha=alpha, fit_intercept=False, tol=1e-14, max_iter=10**6)
    expected = torch.from_numpy(solver.fit(inputs.numpy(), targets.numpy()).coef_)

    def descended(start: Tensor) -> Tensor:
        layer = _layer(start[None], 2)
        optimizer = torch.optim.SGD(layer.parameters(), lr=0.1, momentum=0.9)
        for _ in range(2000):
            optimizer.zero_grad()
            error = (layer(inputs)[:, 0] - targets).square().mean() / 2
            (error + hadamard_penalty(layer, alpha)).backward()
            optimizer.step()
        collapse_hadamard(layer, 1e-8)
        return layer.weight.detach()[0]

    half = torch.full((12,), 0.5, dtype=torch.float64)
    found = descended(torch.where(inputs.mT @ targets < 0, -half, half))
    return {
        "difference": float((found - expected).abs().max()),
        "support": int(((found != 0) != (expected != 0)).sum()),
        "kept": int((expected != 0).sum()),
        "difference of positive start": float((descended(half) - expected).abs().max()),
    }


def _imbalance(case: Case, setting: Setting) -> Record:
    """The difference of squares of two factors under gradient descent, beside ``exp(-4 strength t / D)``."""
    depth, generator = case["depth"], torch.Generator().manual_seed(case["seed"])
    strength, rate, steps = 0.05 * depth / 2, 1e-3, case["steps"]
    layer = _layer(_normal(generator, 10, 5), depth)
    for factor in _factors(layer):
        factor.data = _normal(generator, 10, 5)
    target = _normal(generator, 10, 5)
    optimizer = torch.optim.SGD(layer.parameters(), lr=rate)

    def differences() -> Tensor:
        first, second, *_ = _factors(layer)
        return (first.square() - second.square()).detach()

    before = differences()
    for _ in range(steps):
        optimizer.zero_grad()
        fit = 0.05 * (layer.weight - target).square().sum()
        (fit + hadamard_penalty(layer, strength)).backward()
        optimizer.step()
    return {
        "ratio": float((differences() / before).median()),
        "expected": math.exp(-4 * strength * rate * steps / depth),
    }


def _decay(case: Case, setting: Setting) -> Record:
    """An entry without a gradient of the loss, beside ``exp(-2 strength t)``, which does not know D."""
    layer = _layer(torch.full((1, 1), 2.0, dtype=torch.float64), case["depth"])
    strength, rate, steps = 0.1, 0.01, 500
    optimizer = torch.optim.SGD(layer.parameters(), lr=rate)
    for _ in range(steps):
        optimizer.zero_grad()
        hadamard_penalty(layer, strength).backward()
        optimizer.step()
    return {"exponent": math.log(float(layer.weight.detach()) / 2) / (-2 * strength * rate * steps)}


def _start(case: Case, setting: Setting) -> Record:
    """Deviation of products of three kinds of factors, and the share of them that is nearly zero."""
    generator = torch.Generator().manual_seed(case["seed"])

    def product(method: str) -> Tensor:
        factors = product_factors(
            (_ENTRIES,),
            case["depth"],
            STD,
            method=method,  # pyright: ignore[reportArgumentType]
            generator=generator,
            dtype=torch.float64,
        )
        return torch.stack(factors).prod(0)

    matched, truncated = product("variance_matched"), product("truncated")
    naive = (STD * _normal(generator, case["depth"], _ENTRIES)).prod(0)
    return {
        "matched": float(matched.std()),
        "truncated": float(truncated.std()),
        "naive": float(naive.std()),
        "matched dead": float((matched.abs() < _DEAD).double().mean()),
        "truncated dead": float((truncated.abs() < _DEAD).double().mean()),
    }


EXACT: dict[str, Callable[[Case, Setting], Record]] = {
    "penalty": _penalty,
    "lasso": _lasso,
    "imbalance": _imbalance,
    "decay": _decay,
    "start": _start,
}
