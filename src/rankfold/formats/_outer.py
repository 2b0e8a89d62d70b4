"""Dense sums of outer products."""

from collections.abc import Sequence

import torch
from torch import Tensor

__all__ = ["balanced_outer"]


def balanced_outer(factors: Sequence[Tensor], weights: Tensor | None = None) -> Tensor:
    """The dense tensor of CP factors as one matrix product of two partial outer products of like size.

    Arguments:
        factors: per mode a matrix ``(n_i, R)``.
        weights: ``(R,)``, or None for ones.

    Returns:
        The tensor ``(n_1, ..., n_d)``; differentiable.

    Example:
        >>> balanced_outer([torch.ones(2, 3), torch.ones(1, 3)])
        tensor([[3.],
                [3.]])
    """
    shape = [factor.shape[0] for factor in factors]
    split, left = 1, shape[0]
    total = torch.Size(shape).numel()
    while split < len(shape) - 1 and left * left * shape[split] < total:
        left *= shape[split]
        split += 1
    first = factors[0] if weights is None else factors[0] * weights
    return (_columns([first, *factors[1:split]]) @ _columns(factors[split:]).mT).view(shape)


def _columns(factors: Sequence[Tensor]) -> Tensor:
    """Column-wise outer products, ``(n_1 ... n_k, R)``."""
    result = factors[0]
    for factor in factors[1:]:
        result = (result.unsqueeze(1) * factor).flatten(0, 1)
    return result
