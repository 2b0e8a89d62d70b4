"""The rank of data with gaps: what predicts entries that were held out."""

from math import log, prod

import torch
from torch import Tensor

from rankfold.decompose._greedy import grow
from rankfold.decompose._masked import MaskedData
from rankfold.decompose._methods import Settings
from rankfold.decompose._result import RankStep

__all__ = ["held_out_rank"]

# Choices of this library: share of the observed entries that is held out, the growth without gain that ends the
# search, and the relative fall of the squared held-out error that a component must bring.
_SHARE = 0.1
_OVERSHOOT = 3
_LEAST_FALL = 0.01


def held_out_rank(data: MaskedData, settings: Settings) -> tuple[int, list[Tensor], tuple[RankStep, ...]]:
    """Add components as long as they predict entries that no fit has seen.

    Arguments:
        data: the tensor with its mask.
        settings: passed to the solvers.

    Returns:
        The rank, factors fitted without the entries held out, and the path; ``evidence`` is the relative fall of
        the squared held-out error by one per cent.
    """
    hidden = _held_out(data, settings.generator)
    train = MaskedData(data.tensor, (data.weights > 0) & ~hidden)
    test = MaskedData(data.tensor, hidden)
    degrees = sum(data.shape) - len(data.shape) + 1
    found: dict[int, list[Tensor]] = {}
    errors: dict[int, float] = {0: 1.0}
    steps: list[RankStep] = []
    factors: list[Tensor] = []
    best = 1
    for rank in range(1, prod(data.shape) // max(data.shape) + 1):
        factors = found[rank] = grow(train, factors, settings, name="rank")
        errors[rank] = 2 * test.loss(factors) / test.norm**2
        lowest = min(errors[earlier] for earlier in range(rank))
        evidence = (1 - errors[rank] / lowest) / _LEAST_FALL
        residual = 2 * train.loss(factors) / train.norm**2
        bic = train.count * log(max(residual, 1e-300) / train.count) + rank * degrees * log(train.count)
        steps.append(RankStep(rank, residual**0.5, bic, evidence))
        if evidence > 1:
            best = rank
        if rank - best >= _OVERSHOOT or errors[rank] == 0 or settings.recorder.stopped:
            break
    return best, found[best], tuple(steps)


def _held_out(data: MaskedData, generator: torch.Generator) -> Tensor:
    """A random share of the observed entries, never all of a slice."""
    observed = data.weights > 0
    draw = torch.rand(data.shape, generator=generator).to(data.device)
    hidden = observed & (draw < _SHARE)
    for mode in range(len(data.shape)):
        others = tuple(axis for axis in range(len(data.shape)) if axis != mode)
        emptied = ~(observed & ~hidden).any(dim=others)
        shape = [-1 if axis == mode else 1 for axis in range(len(data.shape))]
        hidden = hidden & ~emptied.view(shape)
    return hidden
