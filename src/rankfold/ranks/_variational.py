"""Empirical variational Bayes for V = B Aᵀ + noise, solved analytically.

Symbols of Nakajima, Sugiyama, Babacan and Tomioka 2013, "Global analytic solution of fully-observed variational
Bayesian matrix factorization" (JMLR 14), for an L x M matrix with L <= M, singular values gamma_h and noise of
variance sigma^2 in every entry: alpha = L / M, x_h = gamma_h^2 / (M sigma^2).
"""

from collections.abc import Callable
from math import ceil, log1p

import torch
from torch import Tensor

__all__ = ["noise_variance", "signal_rank", "signal_threshold"]

# The only zero over 0 of log(z + 1) / z - 1 / 2.
_ZERO_OF_PHI = 2.5128624172523393

# The free energy may have a local minimum for each number of components, so it is looked at on a grid first. The
# spacing at the end is relative, and far below the error of any estimate from a finite matrix.
_GRID, _REFINED, _SPACING = 1024, 64, 1e-6


def signal_threshold(alpha: float) -> float:
    """The x above which a component is signal: 1 for the narrowest matrices, 4.91 for square ones.

    Arguments:
        alpha: L / M, in (0, 1].

    Returns:
        ``(1 + tau)(1 + alpha / tau)`` at the zero tau of ``phi(tau) + phi(tau / alpha)``.
    """
    low, high = _ZERO_OF_PHI * alpha, _ZERO_OF_PHI
    while high - low > 4e-16 * high:
        middle = (low + high) / 2
        if not low < middle < high:
            break
        low, high = (middle, high) if _phi(middle) + _phi(middle / alpha) > 0 else (low, middle)
    return (1 + low) * (1 + alpha / low)


def noise_variance(spectrum: Tensor, longer: int, least: float = 0.0) -> float:
    """The noise variance with the least free energy.

    Arguments:
        spectrum: float64 ``(L,)``, squared singular values, largest first.
        longer: M, at least L.
        least: lower bound, for matrices that are of low rank up to rounding: without noise the free energy has no
            minimum over 0.

    Returns:
        The variance of one entry.
    """
    shorter, total = len(spectrum), float(spectrum.sum())
    if total == 0:
        return 0.0
    alpha = shorter / longer
    threshold = signal_threshold(alpha)
    # Theorem 3 there: so many components at most can be signal, the others bound the noise from below.
    most = min(ceil(shorter / (1 + alpha)) - 1, shorter - 1)
    rest = spectrum[most:] / longer
    high = total / (shorter * longer)
    low = min(max(float(rest[0]) / threshold, float(rest.mean()), least, 1e-300), high)

    def free_energy(log_variance: Tensor) -> Tensor:
        """Per column of the longer side, up to a constant."""
        energy = shorter * log_variance
        for part in range(
            0, len(log_variance), _REFINED
        ):  # a grid times a spectrum of thousands takes memory
            some = log_variance[part : part + _REFINED, None]
            x = (spectrum / longer) * torch.exp(-some)
            energy[part : part + _REFINED] += (x + _gain(x, alpha, threshold)).sum(1)
        return energy

    return _minimum(free_energy, low, high)


def signal_rank(spectrum: Tensor, longer: int, variance: float) -> int:
    """Number of components that the estimate keeps at a noise variance.

    Arguments:
        spectrum: float64 ``(L,)``, squared singular values.
        longer: M, at least L.
        variance: of the noise in one entry.
    """
    threshold = signal_threshold(len(spectrum) / longer)
    return int((spectrum > threshold * longer * variance).sum())


def _phi(z: float) -> float:
    return log1p(z) / z - 0.5


def _gain(x: Tensor, alpha: float, threshold: float) -> Tensor:
    """What a component adds to the free energy where it is signal, which is below 0; there it is psi_1 of the paper."""
    over = x.clamp_min(threshold) - (1 + alpha)
    tau = (over + (over * over - 4 * alpha).clamp_min(0).sqrt()) / 2
    gain = torch.log1p(tau) + alpha * torch.log1p(tau / alpha) - tau
    return torch.where(x > threshold, gain, 0.0)


def _minimum(function: Callable[[Tensor], Tensor], low: float, high: float) -> float:
    """Where a function of the logarithm is least between two positive numbers."""
    left, right = torch.tensor([low, high], dtype=torch.float64).log().tolist()
    count = _GRID
    while True:
        grid = torch.linspace(left, right, count, dtype=torch.float64)
        best = int(function(grid).argmin())
        step = (right - left) / (count - 1)
        if step < _SPACING:
            return min(max(float(grid[best].exp()), low), high)
        left, right = float(grid[max(best - 1, 0)]), float(grid[min(best + 1, count - 1)])
        count = _REFINED
