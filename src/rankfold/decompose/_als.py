"""Alternating least squares, the baseline everything else is measured against.

Axes: n_i dimensions, R components.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from rankfold.decompose._data import Data
from rankfold.decompose._methods import METHODS, Method, Settings
from rankfold.decompose._scaling import balance, random_factors

__all__ = ["alternate", "solve"]

# The defaults of pyttb and tensorly differ (1e-4 and 1e-8 in other measures); ours stops late rather than wrong.
_TOLERANCE = 1e-8
_ITERATIONS = 1000
# Choice of this library: norms drift apart slowly, so they are spread anew only now and then.
_BALANCE_EVERY = 10
# Inner passes of HALS per visit of a mode: the products with the data cost far more than a pass.
# Gillis and Glineur 2012, "Accelerated multiplicative updates and hierarchical ALS algorithms for NMF".
_PASSES = 3

# New factor from the present one, the right side and the Gram matrix.
Update = Callable[[Tensor, Tensor, Tensor], Tensor]


def solve(data: Data, rank: int, settings: Settings) -> list[Tensor]:
    """CP by alternating least squares from a random start; HALS where factors are to be non-negative.

    Stops when the relative error falls by less than ``tolerance`` (1e-8) in a sweep, or after ``max_iterations``
    (1000) sweeps.

    Reference:
        Kolda and Bader 2009, figure 3.3; for HALS Cichocki and Phan 2009.
    """
    factors = (
        random_factors(data, rank, settings.generator, nonnegative=settings.nonnegative)
        if settings.init is None
        else list(settings.init)
    )
    return alternate(
        data,
        factors,
        settings,
        sweeps=_ITERATIONS if settings.max_iterations is None else settings.max_iterations,
        tolerance=_TOLERANCE if settings.tolerance is None else settings.tolerance,
    )[0]


def alternate(
    data: Data, factors: list[Tensor], settings: Settings, *, sweeps: int, tolerance: float, name: str = "als"
) -> tuple[list[Tensor], float]:
    """Sweep over the modes until the error stops falling.

    Arguments:
        data: what to fit.
        factors: start; not changed.
        settings: only ``nonnegative`` and ``recorder`` are read.
        sweeps: largest number of sweeps.
        tolerance: stop once the relative error falls by less than this in a sweep.
        name: for the trace.

    Returns:
        Balanced factors and their relative error, as known from the last mode of the last sweep.
    """
    factors = list(factors)
    update = _hals if settings.nonnegative else _least_squares
    previous, error = float("inf"), float("inf")
    norm = data.norm
    for sweep in range(sweeps):
        right = gram = factors[0]
        mode = 0
        for mode, right, gram in data.sweep(factors):
            factors[mode] = update(factors[mode], right, gram)
        error = _error(norm, factors[mode], right, gram)
        if settings.recorder.note(name, error, factors[0].shape[1]) or previous - error < tolerance:
            break
        previous = error
        if sweep % _BALANCE_EVERY == _BALANCE_EVERY - 1:
            factors = balance(factors)
    return balance(factors), error


def _error(norm: float, factor: Tensor, right: Tensor, gram: Tensor) -> float:
    """Relative error from the last visit: ``||x||² - 2 <right, A> + <A gram, A>``."""
    model = factor @ gram if gram.ndim == 2 else torch.einsum("ir,irs->is", factor, gram)
    change = ((model - 2 * right) * factor).sum(dtype=torch.float64)
    return max(norm**2 + float(change), 0.0) ** 0.5 / norm


def _least_squares(factor: Tensor, right: Tensor, gram: Tensor) -> Tensor:
    """``factor @ gram = right`` in float64; the shortest solution where the Gram matrix is singular."""
    del factor
    matrix, target = gram.double(), right.double()
    root, failed = torch.linalg.cholesky_ex(matrix)
    if matrix.ndim == 2 and not int(failed):
        return torch.cholesky_solve(target.mT, root).mT.to(right.dtype)
    if not bool(failed.any()):
        return torch.cholesky_solve(target.unsqueeze(-1), root).squeeze(-1).to(right.dtype)
    inverse = torch.linalg.pinv(matrix, hermitian=True, rtol=matrix.shape[-1] * torch.finfo(gram.dtype).eps)
    solution = target @ inverse if matrix.ndim == 2 else torch.einsum("ir,irs->is", target, inverse)
    return solution.to(right.dtype)


def _hals(factor: Tensor, right: Tensor, gram: Tensor) -> Tensor:
    """Column after column the best non-negative one with the others held fixed."""
    factor = factor.clone()
    tiny = torch.finfo(factor.dtype).tiny
    for _ in range(_PASSES):
        for column in range(factor.shape[1]):
            weights = gram[..., column]
            model = factor @ weights if gram.ndim == 2 else (factor * weights).sum(dim=1)
            curvature = weights[..., column].clamp_min(tiny)
            factor[:, column] = (factor[:, column] + (right[:, column] - model) / curvature).clamp_min(0)
    return factor


METHODS.add(
    Method(
        name="als",
        solve=solve,
        summary="Alternating least squares with a dimension tree; hierarchical ALS for non-negative factors.",
        source="Kolda and Bader 2009; Cichocki and Phan 2009",
        takes=frozenset({"masked", "sparse", "nonnegative", "init", "sharded"}),
    )
)
