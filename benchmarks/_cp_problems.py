"""Tensors with known components, the published test problems for CP; the same numbers for the same seed."""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from rankfold.formats import CP

__all__ = [
    "add_noise",
    "amplitude_of_energy",
    "binary",
    "bottlenecks",
    "congruent",
    "factors_of",
    "gaussian",
    "geometric_weights",
    "hidden",
    "matrix_multiplication",
    "orthonormal",
    "seeded",
    "sparse_nonnegative",
    "with_weights",
]


def seeded(seed: int) -> torch.Generator:
    """A source of random numbers."""
    return torch.Generator().manual_seed(seed)


def gaussian(shape: Sequence[int], rank: int, generator: torch.Generator) -> CP:
    """Factors with independent N(0, 1) entries, weights 1."""
    return _of_factors([_normal(n, rank, generator) for n in shape])


def orthonormal(shape: Sequence[int], rank: int, generator: torch.Generator) -> CP:
    """Factors with orthonormal columns (QR of Gaussian matrices), weights 1; needs ``rank <= min(shape)``."""
    return _of_factors([torch.linalg.qr(_normal(n, rank, generator)).Q for n in shape])


def congruent(shape: Sequence[int], rank: int, congruence: float, generator: torch.Generator) -> CP:
    """Unit columns of which any two have the given cosine, in every mode; needs ``rank <= min(shape)``.

    Reference:
        Tomasi and Bro 2006, "A comparison of algorithms for fitting the PARAFAC model": ``Q chol(K)ᵀ``.
    """
    K = torch.full((rank, rank), congruence, dtype=torch.float64).fill_diagonal_(1.0)
    L = torch.linalg.cholesky(K)
    return _of_factors([factor @ L.mT for factor in orthonormal(shape, rank, generator).factors])


def bottlenecks(
    shape: Sequence[int], rank: int, congruence: float, modes: Sequence[int], generator: torch.Generator
) -> CP:
    """Gaussian directions, with columns 1 and 2 and columns 3 and 4 at the given cosine in the named modes.

    A bottleneck is a pair of nearly collinear columns in one mode (Comon, Luciani and de Almeida 2009, "Tensor
    decompositions, alternating least squares and other tales"); which pairs and modes is a choice of this benchmark.
    """
    factors = [_unit_columns(factor) for factor in gaussian(shape, rank, generator).factors]
    for mode in modes:
        for first in (0, 2):
            base, other = factors[mode][:, first], factors[mode][:, first + 1]
            across = other - (base @ other) * base
            across = across / across.norm()
            factors[mode][:, first + 1] = congruence * base + (1 - congruence**2) ** 0.5 * across
    return _of_factors(factors)


def binary(shape: Sequence[int], rank: int, generator: torch.Generator) -> CP:
    """Entries 0 or 1 with equal probability; an empty column gets a single 1."""
    factors = [torch.randint(0, 2, (n, rank), generator=generator).double() for n in shape]
    for factor in factors:
        factor[0, factor.sum(0) == 0] = 1.0
    return _of_factors(factors)


def sparse_nonnegative(shape: Sequence[int], rank: int, zeros: float, generator: torch.Generator) -> CP:
    """Entries uniform in (0, 1), each zero with the given probability; an empty column keeps its first entry."""
    factors = []
    for n in shape:
        values = torch.rand(n, rank, generator=generator, dtype=torch.float64)
        kept = torch.rand(n, rank, generator=generator, dtype=torch.float64) >= zeros
        kept[0, ~kept.any(0)] = True
        factors.append(values * kept)
    return _of_factors(factors)


def geometric_weights(rank: int, smallest: float) -> Tensor:
    """Weights from 1 down to ``smallest`` in equal ratios."""
    return torch.logspace(0, torch.tensor(smallest).log10().item(), rank, dtype=torch.float64)


def with_weights(tensor: CP, weights: Tensor) -> CP:
    """The same directions, every component as long as its weight."""
    return CP(weights, tuple(_unit_columns(factor) for factor in tensor.factors))


def matrix_multiplication(n: int) -> Tensor:
    """The tensor of ``n x n`` matrix multiplication, ``T[in + j, jn + k, kn + i] = 1``; known ranks 7 (2), 23 (3)."""
    tensor = torch.zeros(n * n, n * n, n * n, dtype=torch.float64)
    for i in range(n):
        for j in range(n):
            for k in range(n):
                tensor[i * n + j, j * n + k, k * n + i] = 1.0
    return tensor


def amplitude_of_energy(percent: float) -> float:
    """Noise norm by signal norm when noise is so many per cent of the energy of the sum.

    Reference:
        Tomasi and Bro 2006: ``(100 / l - 1) ** -0.5``; 10 per cent are a third of the signal's norm.
    """
    return (100 / percent - 1) ** -0.5


def add_noise(tensor: Tensor, amplitude: float, generator: torch.Generator) -> Tensor:
    """Add Gaussian noise whose Frobenius norm is exactly ``amplitude`` times that of the tensor."""
    noise = torch.randn(tensor.shape, generator=generator, dtype=tensor.dtype)
    return tensor + noise * (amplitude * tensor.norm() / noise.norm())


def hidden(shape: Sequence[int], share: float, generator: torch.Generator) -> Tensor:
    """A mask, True where observed, in which exactly the given share of entries is False."""
    total = prod(shape)
    mask = torch.ones(total, dtype=torch.bool)
    mask[torch.randperm(total, generator=generator)[: round(share * total)]] = False
    return mask.view(*shape)


def factors_of(tensor: CP) -> list[Tensor]:
    """The factors with the weights multiplied into the first."""
    first, *others = tensor.factors
    return [first * tensor.weights, *others]


def _normal(rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """Independent N(0, 1) entries in float64."""
    return torch.randn(rows, columns, generator=generator, dtype=torch.float64)


def _unit_columns(factor: Tensor) -> Tensor:
    """The same directions with norm 1."""
    return factor / factor.norm(dim=0)


def _of_factors(factors: Sequence[Tensor]) -> CP:
    """Weights 1."""
    return CP(torch.ones(factors[0].shape[1], dtype=factors[0].dtype), tuple(factors))
