"""Scales and starts of CP factors.

Axes: n_i dimensions, R components.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from rankfold.decompose._data import Data

__all__ = ["balance", "component_norms", "random_factors"]


def component_norms(factors: Sequence[Tensor]) -> Tensor:
    """Norm of every component, ``(R,)``."""
    return torch.stack([torch.linalg.vector_norm(factor, dim=0) for factor in factors]).prod(dim=0)


def balance(factors: Sequence[Tensor]) -> list[Tensor]:
    """The same components with their norms spread equally over the modes, which removes scaling swamps.

    Arguments:
        factors: one ``(n_i, R)`` per mode.

    Returns:
        New factors; a component with a zero column becomes zero in all modes.

    Reference:
        Cohen and Leplat 2024, "Efficient algorithms for regularized nonnegative scale-invariant low-rank
        approximation models".

    Example:
        >>> import torch
        >>> [float(factor.norm()) for factor in balance([torch.ones(1, 1), torch.full((1, 1), 4.0)])]
        [2.0, 2.0]
    """
    norms = torch.stack([torch.linalg.vector_norm(factor, dim=0) for factor in factors])
    alive = (norms > 0).all(dim=0)
    logarithms = torch.where(alive, norms, 1.0).log()
    target = logarithms.mean(dim=0, keepdim=True)
    scales = torch.where(alive, (target - logarithms).exp(), 0.0)
    return [factor * scale for factor, scale in zip(factors, scales, strict=True)]


def random_factors(
    data: Data, rank: int, generator: torch.Generator, *, nonnegative: bool = False
) -> list[Tensor]:
    """A start: independent normal numbers (their absolute values for non-negative factors), scaled to the data.

    Arguments:
        data: gives shape, norm, dtype and device.
        rank: number of components.
        generator: of the CPU.
        nonnegative: absolute values.

    Returns:
        One ``(n_i, rank)`` per mode; the components together have about the norm of the data.

    Example:
        >>> import torch, rankfold
        >>> from rankfold.decompose import Method
        >>> def start(data, rank, settings):
        ...     return random_factors(data, rank, settings.generator)
        >>> rankfold.cp(torch.ones(3, 4, 5), 2, method=Method("start", start, "", "")).tensor
        CP(shape=(3, 4, 5), rank=2, float32)
    """
    factors = []
    scale = (data.norm / rank**0.5) ** (1 / len(data.shape))
    for size in data.shape:
        factor = torch.randn(size, rank, generator=generator, dtype=torch.float64)
        factor = factor.abs() if nonnegative else factor
        factors.append((factor * (scale / size**0.5)).to(device=data.device, dtype=data.dtype))
    return factors
