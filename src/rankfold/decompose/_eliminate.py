"""From too many components to few, by the loss that each one is worth.

Axes: n_i dimensions, k components.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from rankfold.decompose._data import Data
from rankfold.decompose._gram import hadamard_except
from rankfold.decompose._joint import improve
from rankfold.decompose._methods import Settings
from rankfold.decompose._scaling import balance, component_norms

__all__ = ["drop_component", "eliminate", "elimination_path", "loss_increases"]

# Gauss-Newton steps after each component that goes; choice of this library.
_STEPS = 12


def eliminate(
    data: Data, factors: Sequence[Tensor], rank: int, settings: Settings, *, name: str = "overparam"
) -> list[Tensor]:
    """Drop components one by one, each time the one whose loss is smallest, and refine the rest in between.

    Arguments:
        data: what to fit.
        factors: ``(n_i, k)`` per mode, k >= rank.
        rank: number of components to keep.
        settings: passed to the refinement.
        name: for the trace.

    Returns:
        Factors ``(n_i, rank)``, not yet polished to the end.
    """
    current = list(factors)
    for smaller in elimination_path(data, factors, rank, settings, name=name):
        current = smaller
    # A search that was stopped has the number of components that was asked for all the same.
    while current[0].shape[1] > rank:
        worst = int(loss_increases(current).argmin())
        current = drop_component(current, worst, nonnegative=settings.nonnegative)
    return current


def elimination_path(
    data: Data, factors: Sequence[Tensor], rank: int, settings: Settings, *, name: str = "overparam"
) -> Iterator[list[Tensor]]:
    """The factors after every component that goes, down to ``rank``; arguments as of :func:`eliminate`."""
    current = list(factors)
    while current[0].shape[1] > rank and not settings.recorder.stopped:
        increases = loss_increases(current)
        current = drop_component(current, int(increases.argmin()), nonnegative=settings.nonnegative)
        current = improve(data, current, settings, steps=_STEPS, name=name)
        yield current


def loss_increases(factors: Sequence[Tensor]) -> Tensor:
    """What dropping each component costs once the weights of the others are fitted again: ``w_r² / (K⁻¹)_rr``.

    Arguments:
        factors: ``(n_i, k)`` per mode.

    Returns:
        ``(k,)``, the growth of ``||x - model||²`` to first order; a component of size 0 costs nothing.

    Reference:
        Hassibi and Stork 1993, "Second order derivatives for network pruning: optimal brain surgeon", equation 5.
    """
    weights, inverse = _weights_and_inverse(factors)
    return weights.square() / inverse.diagonal()


def drop_component(factors: Sequence[Tensor], index: int, *, nonnegative: bool = False) -> list[Tensor]:
    """Take one component away and change the weights of the others so that the model changes least.

    Arguments:
        factors: ``(n_i, k)`` per mode.
        index: the component.
        nonnegative: leave the weights as they are where they would turn negative.

    Returns:
        Balanced factors ``(n_i, k - 1)``.
    """
    weights, inverse = _weights_and_inverse(factors)
    keep = torch.arange(weights.shape[0], device=weights.device) != index
    change = inverse[:, index] / inverse[index, index] * weights[index]
    scale = torch.where(weights > 0, 1 - change / weights.clamp_min(torch.finfo(weights.dtype).tiny), 1.0)
    if nonnegative:
        scale = torch.where(scale > 0, scale, 1.0)
    first, *others = [factor[:, keep] for factor in factors]
    return balance([first * scale[keep].to(first.dtype), *others])


def _weights_and_inverse(factors: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Sizes of the components and the inverse of the Gram matrix of the unit ones, in float64."""
    units = [torch.nn.functional.normalize(factor.double(), dim=0, eps=1e-300) for factor in factors]
    weights = component_norms([factor.double() for factor in factors])
    gram = hadamard_except([unit.mT @ unit for unit in units])
    gram.fill_diagonal_(1.0)
    # A whisper of the identity keeps copies of a component apart: each of them costs next to nothing.
    gram.diagonal().mul_(1 + 1e-12)
    return weights, torch.linalg.pinv(gram, hermitian=True)
