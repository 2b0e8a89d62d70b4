"""Targets and sweeps for the study of alternating least squares with more components than the rank.

Axes: n dimensions in each of three modes, r components of the target, k components of the model.
"""

import torch
from torch import Tensor

from rankfold.decompose import CPDecomposition, cp
from rankfold.formats import CP

__all__ = [
    "FITTED",
    "jacobi_sweeps",
    "model_of",
    "normal",
    "sequential_sweeps",
    "target_factors",
    "tensor_of",
]

# Choices of this library: the relative error of a fit, and what a pseudo-inverse takes for zero.
FITTED, _CUTOFF = 1e-4, 1e-12
_CONGRUENCE = 0.9


def sequential_sweeps(tensor: Tensor, start: list[Tensor], sweeps: int) -> CPDecomposition:
    """``cp(method='als')`` from these factors, to the fit or for so many sweeps; its trace has an error per sweep."""
    ones = torch.ones(start[0].shape[1], dtype=torch.float64)
    return cp(
        tensor,
        len(ones),
        method="als",
        restarts=1,
        max_iterations=sweeps,
        tolerance=0.0,
        init=CP(ones, tuple(start)),
        generator=0,
        callback=lambda point: point.relative_error < 1e-2 * FITTED,
    )


def jacobi_sweeps(tensor: Tensor, factors: list[Tensor], sweeps: int) -> list[float]:
    """Errors of sweeps in which all factors are updated from the same ones, by pseudo-inverses.

    The three new factors belong to three different least squares problems, so that a sweep gives three models: one
    new factor with the two that it was computed from. The error of a sweep is the least of the three.

    The columns of a new factor scale with the inverse of those of the two others. All three would swing ever farther,
    with a factor of -2 in the logarithm per sweep; columns of norm 1 avoid this and change nothing else as long as
    the k products of columns are independent. They are the rows of ``T_(mode) pinv(B (x) C)ᵀ``.

    From r² components on the second sweep fits: after the first one all columns lie in the ranges of the target's
    factors, and r² products of columns in general position span all ``r * r`` products of these ranges, in which the
    unfoldings of the target lie.
    """
    size = float(torch.linalg.vector_norm(tensor))
    errors = []
    for _ in range(sweeps):
        new, each = [], []
        for mode in range(3):
            one, two = (factors[other] for other in range(3) if other != mode)
            products = (one.unsqueeze(1) * two.unsqueeze(0)).flatten(end_dim=1)
            unfolded = tensor.movedim(mode, 0).flatten(1)
            factor = unfolded @ torch.linalg.pinv(products, rtol=_CUTOFF).mT
            each.append(float(torch.linalg.vector_norm(factor @ products.mT - unfolded)) / size)
            new.append(torch.nn.functional.normalize(factor, dim=0))
        factors = new
        errors.append(min(each))
        if errors[-1] < 1e-2 * FITTED:
            break
    return errors


def normal(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """Independent normal numbers."""
    return torch.randn(rows, columns, generator=generator, dtype=torch.float64)


def target_factors(kind: str, n: int, r: int, generator: torch.Generator) -> list[Tensor]:
    """Factors of the target, ``(n, r)``; of a random core as many components as it takes, ``(n, r²)``.

    Collinear factors are ``Q L`` with ``L Lᵀ`` the matrix of all cosines, 0.9 off its diagonal (Tomasi and Bro 2006).
    A core ``r x r x r`` is the sum of its r² fibres: component (i, j) is ``e_i (x) e_j (x) core[i, j]``.
    """
    drawn = [normal(n, r, generator) for _ in range(3)]
    if kind == "gaussian":
        return drawn
    bases = [torch.linalg.qr(factor).Q for factor in drawn]
    if kind == "orthogonal":
        return bases
    if kind == "collinear":
        cosines = torch.full((r, r), _CONGRUENCE, dtype=torch.float64).fill_diagonal_(1.0)
        return [basis @ torch.linalg.cholesky(cosines).mT for basis in bases]
    fibres = normal(r, r * r, generator)
    unit = torch.eye(r, dtype=torch.float64)
    return [bases[0] @ unit.repeat_interleave(r, 1), bases[1] @ unit.repeat(1, r), bases[2] @ fibres]


def model_of(factors: list[Tensor]) -> CP:
    """The factors as a CP tensor."""
    return CP(torch.ones(factors[0].shape[1], dtype=torch.float64), tuple(factors))


def tensor_of(factors: list[Tensor]) -> Tensor:
    """The factors multiplied out."""
    return torch.einsum("ir,jr,kr->ijk", *factors)
