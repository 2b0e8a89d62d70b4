"""Asymptotic risks for ``N, d`` to infinity at fixed ``rho = N/d``, divided by the second moment of the target.

B is the target ``<x, Bx>`` with ``kappa = tr(B)²/(d ||B||²)``; weights are ``w ~ N(0, Gamma/d)``, ``tr Gamma = d``.
Spectra are those of diagonal matrices, ``(d,)``. Reference: Ghorbani, Mei, Misiakiewicz, Montanari 2019,
"Limitations of Lazy Training of Two-layers Neural Networks"; derived anew below, and tested against the risks given
the weights.
"""

import math

import torch
from torch import Tensor

__all__ = [
    "RELU",
    "features_formula",
    "mixture_formula",
    "network_formula",
    "network_limit",
    "relu_formula",
    "tangent_formula",
    "trace_ratio",
]

# Squares of the Hermite coefficients of max(g, 0): order 1, order 2, and the sum from order 2 on. The coefficient of
# order k is E[max(g, 0) He_k(g)]/sqrt(k!), which is 1/2 and 1/(2 sqrt(pi)); E max(g, 0)² = 1/2, (E max(g, 0))² =
# 1/(2 pi).
RELU = (0.25, 1 / (4 * math.pi), 0.5 - 1 / (2 * math.pi) - 0.25)


def trace_ratio(spectrum: Tensor) -> float:
    """kappa: the share of B that lies along the identity, 0 to 1.

    Arguments:
        spectrum: eigenvalues of B, ``(d,)``.

    Example:
        >>> trace_ratio(torch.ones(4))
        1.0
    """
    return float(spectrum.sum() ** 2 / (len(spectrum) * spectrum.square().sum()))


def features_formula(rho: float, spectrum: Tensor, covariance: Tensor | None = None) -> float:
    """Random features with quadratic activations: ``1 - <B, Gamma>²/(d ||B||²) rho/(1 + rho ||Gamma||²/d)``.

    The covariance ``2 <w_i, w_j>²`` of the features is ``2 I`` plus its mean off the diagonal, ``2 ||Gamma||²/d²``
    everywhere; what fluctuates vanishes in operator norm. The covariance with the target is ``2 <B, Gamma>/d`` for
    every feature. The inverse of ``I + (||Gamma||²/d²) 1 1^T`` applied to 1 gives the formula; Gamma = I gives
    ``1 - kappa rho/(1 + rho)``.

    Arguments:
        rho: N/d, > 0.
        spectrum: eigenvalues of B, ``(d,)``.
        covariance: eigenvalues of Gamma in the same basis, ``(d,)``, sum d; None means the identity.

    Returns:
        The risk, 0 to 1.
    """
    gamma = torch.ones_like(spectrum) if covariance is None else covariance
    size = len(spectrum)
    along = float((spectrum @ gamma) ** 2 / (size * spectrum.square().sum()))
    return 1 - along * rho / (1 + rho * float(gamma.square().sum()) / size)


def relu_formula(rho: float, kappa: float) -> float:
    """Random features with rectified activations and Gamma = I: ``1 - kappa q/(1 + q)``, ``q = mu_2² rho s``.

    The covariance of the features is ``mu_1² W W^T + m I + (mu_2²/d) 1 1^T`` up to what vanishes, with the squares
    mu_1², mu_2² of the coefficients of order 1, 2 and m the sum of squares from order 2 on; the covariance with the
    target is ``sqrt(2) mu_2 tr(B)/d``. So only ``s = tr((mu_1² W W^T + m I)^-1)/N`` is needed. ``W W^T`` is a sum of d
    independent terms ``c c^T`` with ``c ~ N(0, I_N/d)``; taking one out (Marchenko and Pastur 1967) gives
    ``1/s = m + mu_1²/(1 + mu_1² rho s)``, a quadratic equation for s.

    Arguments:
        rho: N/d, > 0.
        kappa: of the target.

    Returns:
        The risk, 0 to 1.

    Example:
        >>> round(relu_formula(1.0, 0.547), 3)
        0.846
    """
    first, second, rest = RELU
    # rest first rho s² + (rest + first - first rho) s - 1 = 0
    linear = rest + first - first * rho
    share = (-linear + math.sqrt(linear**2 + 4 * rest * first * rho)) / (2 * rest * first * rho)
    quotient = second * rho * share
    return 1 - kappa * quotient / (1 + quotient)


def tangent_formula(rho: float, kappa: float) -> float:
    """Neural tangent: ``(1 - rho)² + rho (1 - rho) kappa`` up to rho = 1, then 0.

    The risk is ``||PBP||²/||B||²`` with P a projection of rank ``p d = (1 - rho) d`` in a uniformly random direction:
    ``sum_ij b_i b_j E P_ij²`` with ``E P_ii² -> p²`` and ``E P_ij² -> p (1 - p)/d``.

    Arguments:
        rho: N/d, > 0.
        kappa: of the target.

    Returns:
        The risk, 0 to 1.

    Example:
        >>> tangent_formula(0.5, 0.0), tangent_formula(1.0, 0.5)
        (0.25, 0.0)
    """
    left = max(1 - rho, 0.0)
    return left**2 + rho * left * kappa


def network_formula(count: int, spectrum: Tensor) -> float:
    """Fully trained: the share of ``||B||²`` beyond the N largest eigenvalues (Eckart and Young 1936; B >= 0), any d.

    Arguments:
        count: N.
        spectrum: eigenvalues of B, ``(d,)``, not negative.

    Returns:
        The risk, 0 to 1.

    Example:
        >>> network_formula(1, torch.tensor([1.0, 3.0]))
        0.10000000149011612
    """
    squares = spectrum.square().sort(descending=True).values
    return float(squares[count:].sum() / squares.sum())


def network_limit(rho: float) -> float:
    """The limit of the formula for eigenvalues from the exponential distribution.

    The N = rho d largest of d lie above ``t = ln(1/rho)``; their squares add up to ``d (t² + 2 t + 2) e^-t`` of 2 d.

    Arguments:
        rho: N/d, > 0.

    Returns:
        The risk, 0 to 1.

    Example:
        >>> network_limit(1.0)
        0.0
    """
    threshold = math.log(1 / min(rho, 1.0))
    return 1 - min(rho, 1.0) * (threshold**2 + 2 * threshold + 2) / 2


def mixture_formula(risk: float, spectrum: Tensor) -> float:
    """The mixture ``x | y ~ N(0, I + y Delta)`` from the risk of the same model on the target Delta: ``2/(2 + C)``.

    To first order in the operator norm of Delta the variance of ``<x, Ax>`` within a class is ``2 ||A||²`` as for the
    quadratic target; then the best A in a linear space (or of rank N) is parallel to the best approximation of Delta in
    it, which captures ``C = (1 - risk) ||Delta||²``, and the risk of the best multiple is ``1/(1 + C/2)``.

    Arguments:
        risk: on the target ``<x, Delta x>``.
        spectrum: eigenvalues of Delta, ``(d,)``.

    Returns:
        The mean squared error, 0 to 1.

    Example:
        >>> mixture_formula(0.0, torch.ones(2))
        0.5
    """
    return 2 / (2 + (1 - risk) * float(spectrum.square().sum()))
