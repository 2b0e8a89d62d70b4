"""The model linearised at its start, as lazy training sees it, and how well any direction sees a residual.

Axes: m components, d dimensions, l order. A symmetric tensor is held by the ``C(d+l-1, l)`` entries that differ, each
times the root of how often it occurs, so that inner products are those of the whole tensors.
"""

import itertools
import math

import torch
from torch import Tensor

from rankfold.decompose._homogeneous import sphere

__all__ = ["lazy_residual", "smallest_correlation", "symmetric_powers"]


def symmetric_powers(vectors: Tensor, order: int) -> Tensor:
    """The tensors ``u^(x)l``.

    Arguments:
        vectors: ``(..., d)``.
        order: l.

    Returns:
        ``(..., C(d+l-1, l))``; inner products are those of the tensors.

    Example:
        >>> import torch
        >>> float(symmetric_powers(torch.tensor([3.0, 4.0]), 3).square().sum().round())
        15625.0
    """
    indices, roots = _entries(vectors.shape[-1], order)
    return vectors[..., indices].prod(-1) * roots


def lazy_residual(
    size: int, order: int, count: int, targets: int, generator: torch.Generator
) -> tuple[int, float]:
    """What the linearised model can move to, and what it leaves of a component.

    Arguments:
        size: d.
        order: l.
        count: m, the random unit vectors at which the model is linearised.
        targets: number of random unit components that are approximated, each by itself.
        generator: source of both.

    Returns:
        The dimension of ``span {sym(u_i^(x)(l-1) (x) e_k)}``, the derivatives of ``sum u_i^(x)l``, and the mean
        squared distance of a unit ``v^(x)l`` from it. The start ``u_i^(x)l`` lies in that span, so the distance does
        not depend on it. The dimension is ``min(md, C(d+l-1, l))`` for order 3 and more but for four exceptions.

    Reference:
        Alexander, Hirschowitz 1995, "Polynomial interpolation in several variables": the exceptions are order 3 with
        (d, m) = (5, 7) and order 4 with (3, 5), (4, 9) and (5, 14).

    Example:
        >>> import torch
        >>> rank, residual = lazy_residual(5, 3, 8, 20, torch.Generator().manual_seed(0))
        >>> rank, residual < 1e-10
        (35, True)
    """
    indices, roots = _entries(size, order)
    drawn = sphere((count, size), 1.0, generator)[:, indices]
    rows = torch.zeros(count, size, len(indices), dtype=torch.float64)
    for place in range(order):
        others = torch.cat([drawn[..., :place], drawn[..., place + 1 :]], dim=-1).prod(2) * roots
        rows += others.unsqueeze(1) * torch.nn.functional.one_hot(indices[:, place], size).mT
    _, values, right = torch.linalg.svd(rows.reshape(count * size, -1), full_matrices=False)
    rank = int((values > 1e-10 * values[0]).sum())
    basis = right[:rank]
    points = symmetric_powers(sphere((targets, size), 1.0, generator), order)
    return rank, float((points - points @ basis.mT @ basis).square().sum(1).mean())


def smallest_correlation(size: int, order: int) -> float:
    """The smallest ``E <u^(x)l, R>²`` over unit symmetric R, for u uniform on the sphere.

    Arguments:
        size: d.
        order: l.

    Returns:
        The smallest eigenvalue of ``E vec(u^(x)l) vec(u^(x)l)^T`` on symmetric tensors, from the moments of the
        sphere: ``E u^gamma`` is the product of ``(gamma_i - 1)!!`` over ``d (d+2) ... (d+2l-2)`` if all gamma_i are
        even, and 0 otherwise (Folland 2001, "How to integrate a polynomial over a sphere").

    Example:
        >>> round(smallest_correlation(4, 3), 12)
        0.03125
    """
    indices, roots = _entries(size, order)
    exponents = torch.nn.functional.one_hot(indices, size).sum(1)
    moments = exponents.unsqueeze(0) + exponents.unsqueeze(1)
    table = torch.tensor([_double_factorial(power) for power in range(2 * order + 1)], dtype=torch.float64)
    matrix = table[moments].prod(2) / math.prod(range(size, size + 2 * order, 2))
    return float(torch.linalg.eigvalsh(matrix * roots.unsqueeze(0) * roots.unsqueeze(1))[0])


def _double_factorial(power: int) -> float:
    """``(power - 1)!!`` for even powers, 0 for odd ones."""
    return 0.0 if power % 2 else float(math.prod(range(1, power, 2)))


def _entries(size: int, order: int) -> tuple[Tensor, Tensor]:
    """Indices of the entries of a symmetric tensor that differ, and the roots of how often each occurs."""
    indices = torch.tensor(list(itertools.combinations_with_replacement(range(size), order)))
    exponents = torch.nn.functional.one_hot(indices, size).sum(1)
    counts = math.factorial(order) / torch.lgamma(exponents.double() + 1).sum(1).exp()
    return indices, counts.sqrt()
