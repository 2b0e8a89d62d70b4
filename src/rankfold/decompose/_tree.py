"""Matricised tensor times Khatri-Rao products for every mode, by a dimension tree.

Axes: n_i dimensions, R components. Two products with the whole tensor serve all modes of a sweep: one contracts the
last mode and leads to the first half of the modes, one contracts the first mode and leads to the second half. What
they leave has the components first, ``(R, n_i, ..., n_j)``, and loses one mode at a time; no Khatri-Rao product is
ever formed.
"""

from collections.abc import Iterator, Sequence
from math import prod

import torch
from torch import Tensor

from rankfold.linalg import product

__all__ = ["contract_except", "leaves", "mttkrp", "mttkrps", "without_first", "without_last"]

# Choice of this library: up to so many entries the cost of a batched call outweighs that of a temporary product.
_SMALL = 2**15


def mttkrps(tensor: Tensor, factors: Sequence[Tensor]) -> Iterator[tuple[int, Tensor]]:
    """Visit the modes in order with their MTTKRP, ``Mat_n(x) (A_d ⊙ ... ⊙ A_1 without A_n)``.

    Arguments:
        tensor: contiguous, order 2 or more.
        factors: one ``(n_i, R)`` per mode; a list that the caller changes between visits is read as it is then.

    Yields:
        The mode and its ``(n_mode, R)``.

    Reference:
        Phan, Tichavský and Cichocki 2013, "Fast alternating LS algorithms for high order CANDECOMP/PARAFAC tensor
        factorizations", section III.

    Example:
        >>> import torch
        >>> x, factors = torch.ones(2, 3, 4), [torch.ones(2, 1), torch.ones(3, 1), torch.ones(4, 1)]
        >>> [float(m[0]) for _, m in mttkrps(x, factors)]
        [12.0, 8.0, 6.0]
    """
    order = tensor.ndim
    half = (order + 1) // 2
    yield from leaves(without_last(tensor, factors, half), 0, half, factors)
    yield from leaves(without_first(tensor, factors, half), half, order, factors)


def mttkrp(tensor: Tensor, factors: Sequence[Tensor], mode: int) -> Tensor:
    """The MTTKRP of one mode; the factor of that mode is not read.

    Arguments:
        tensor: contiguous, order 2 or more.
        factors: one ``(n_i, R)`` per mode.
        mode: the mode.

    Returns:
        ``(n_mode, R)``.
    """
    order = tensor.ndim
    if mode == order - 1:
        return without_first(tensor, factors, mode).mT
    partial = without_last(tensor, factors, mode + 1)
    for axis in range(mode):
        partial = _contract_first(partial, factors[axis])
    return partial.mT


def leaves(partial: Tensor, start: int, stop: int, factors: Sequence[Tensor]) -> Iterator[tuple[int, Tensor]]:
    """The MTTKRP of modes start..stop-1 from a partial product ``(R, n_start, ..., n_{stop-1})``.

    Factors of these modes are read when they are needed, so that the caller may change them between visits.
    """
    if stop - start == 1:
        yield start, partial.mT
        return
    middle = (start + stop + 1) // 2
    left = partial
    for mode in reversed(range(middle, stop)):
        left = _contract_last(left, factors[mode])
    yield from leaves(left, start, middle, factors)
    right = partial
    for mode in range(start, middle):
        right = _contract_first(right, factors[mode])
    yield from leaves(right, middle, stop, factors)


def without_last(tensor: Tensor, factors: Sequence[Tensor], keep: int) -> Tensor:
    """Contract all modes from ``keep`` on: ``(R, n_0, ..., n_{keep-1})``."""
    shape, last = tensor.shape, factors[-1]
    # The libraries are faster where rows of the small operand lie together.
    partial = product(last.mT.contiguous(), tensor.view(-1, shape[-1]).mT).view(last.shape[1], *shape[:-1])
    for mode in reversed(range(keep, len(shape) - 1)):
        partial = _contract_last(partial, factors[mode])
    return partial


def without_first(tensor: Tensor, factors: Sequence[Tensor], start: int) -> Tensor:
    """Contract all modes before ``start``: ``(R, n_start, ..., n_{d-1})``."""
    shape, first = tensor.shape, factors[0]
    partial = product(first.mT.contiguous(), tensor.view(shape[0], -1)).view(first.shape[1], *shape[1:])
    for mode in range(1, start):
        partial = _contract_first(partial, factors[mode])
    return partial


def _contract_last(partial: Tensor, factor: Tensor) -> Tensor:
    # Faster than a batched product with vectors, which the libraries do row by row.
    weights = factor.mT.contiguous().view(partial.shape[0], *[1] * (partial.ndim - 2), partial.shape[-1])
    return (partial * weights).sum(dim=-1)


def _contract_first(partial: Tensor, factor: Tensor) -> Tensor:
    if partial.numel() <= _SMALL:
        weights = factor.mT.reshape(*partial.shape[:2], *[1] * (partial.ndim - 2))
        return (partial * weights).sum(dim=1)
    matrix = partial.reshape(*partial.shape[:2], prod(partial.shape[2:]))
    return torch.bmm(factor.mT.unsqueeze(1), matrix).view(partial.shape[0], *partial.shape[2:])


def contract_except(tensor: Tensor, factors: Sequence[Tensor], first: int, second: int) -> Tensor:
    """Contract all modes but two, component by component.

    Arguments:
        tensor: contiguous.
        factors: one ``(n_i, R)`` per mode; those of the two modes are not read.
        first, second: the modes that stay, ``first < second``.

    Returns:
        ``(R, n_first, n_second)``.
    """
    order, shape = tensor.ndim, tensor.shape
    rank = factors[0].shape[1]
    if second < order - 1:
        partial, start = without_last(tensor, factors, second + 1), 0
    elif first > 0:
        partial, start = without_first(tensor, factors, 1), 1
    elif second == first + 1:
        return tensor.expand(rank, *shape)
    else:
        flat = tensor.view(shape[0], shape[1], -1)
        partial = torch.matmul(factors[1].mT, flat).transpose(0, 1).reshape(rank, shape[0], *shape[2:])
        for mode in range(2, second):
            partial = _contract_second(partial, factors[mode])
        return partial
    for mode in range(start, first):
        partial = _contract_first(partial, factors[mode])
    for mode in range(first + 1, second):
        partial = _contract_second(partial, factors[mode])
    return partial


def _contract_second(partial: Tensor, factor: Tensor) -> Tensor:
    """From ``(R, n, m, ...)`` the mode m."""
    rank, kept, size = partial.shape[:3]
    matrix = partial.reshape(rank, kept, size, prod(partial.shape[3:]))
    result = torch.matmul(factor.mT[:, None, None, :], matrix)
    return result.reshape(rank, kept, *partial.shape[3:])
