"""How good a CP decomposition is, computed the same way for every side."""

from collections.abc import Sequence
from math import prod

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from rankfold.formats import CP

__all__ = ["column_difference", "component_congruence", "hidden_error", "model", "relative_error"]


def model(factors: Sequence[Tensor]) -> Tensor:
    """The dense tensor of factors without weights."""
    return CP(torch.ones_like(factors[0][0]), tuple(factors)).to_dense()


def relative_error(tensor: Tensor, factors: Sequence[Tensor]) -> float:
    """``||tensor - model|| / ||tensor||`` from the difference itself, infinite for factors that are not finite."""
    error = float((tensor - model(factors)).norm() / tensor.norm())
    return error if error == error else float("inf")


def hidden_error(tensor: Tensor, factors: Sequence[Tensor], observed: Tensor) -> float:
    """The relative error over the entries that were hidden."""
    hidden = ~observed
    error = float((tensor - model(factors))[hidden].norm() / tensor[hidden].norm())
    return error if error == error else float("inf")


def component_congruence(truth: Sequence[Tensor], found: Sequence[Tensor]) -> Tensor:
    """For every true component the congruence, product over modes of ``|cos|``, of the one found for it.

    Components are assigned one to one such that the sum is largest; a true one without partner gets 0. Weights do
    not enter.

    Arguments:
        truth: true factors ``(n, R)``.
        found: found factors ``(n, Q)``; Q may differ from R.

    Returns:
        ``(R,)``.
    """
    products = prod(_cosines(a.double(), b.double()) for a, b in zip(truth, found, strict=True))
    assert isinstance(products, Tensor)
    # Columns of the padding stand for "no partner".
    padding = products.new_zeros(len(products), max(0, products.shape[0] - products.shape[1]))
    padded = torch.cat([products.nan_to_num(0.0), padding], dim=1)
    rows, columns = linear_sum_assignment(padded.numpy(), maximize=True)
    return padded[torch.from_numpy(rows), torch.from_numpy(columns)]


def column_difference(reference: Sequence[Tensor], other: Sequence[Tensor]) -> float:
    """Largest difference of any entry of the unit columns, in the order and with the signs that fit best.

    Arguments:
        reference, other: factors ``(n, R)`` of the same shapes.

    Returns:
        0 for the same components, whatever their order, scale and signs.
    """
    products = prod(_cosines(a.double(), b.double()) for a, b in zip(reference, other, strict=True))
    assert isinstance(products, Tensor)
    order = torch.from_numpy(linear_sum_assignment(products.numpy(), maximize=True)[1])
    largest = 0.0
    for a, b in zip(reference, other, strict=True):
        first = torch.nn.functional.normalize(a.double(), dim=0)
        second = torch.nn.functional.normalize(b.double()[:, order], dim=0)
        signs = torch.where((first * second).sum(dim=0) < 0, -1.0, 1.0)
        largest = max(largest, float((first - second * signs).abs().max()))
    return largest


def _cosines(a: Tensor, b: Tensor) -> Tensor:
    """Absolute cosines of all pairs of columns."""
    return (torch.nn.functional.normalize(a, dim=0).mT @ torch.nn.functional.normalize(b, dim=0)).abs()
