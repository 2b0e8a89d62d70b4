"""What data with gaps say about a model: how it predicts entries that were held out."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import log

import torch
from torch import Tensor

from rankfold.decompose._als import alternate
from rankfold.decompose._masked import MaskedData
from rankfold.decompose._methods import Settings
from rankfold.formats import balanced_outer

__all__ = ["HoldOut", "Trial", "best_shrinkage", "hold_out"]

# Share of the observed entries that is held out; choice of this library.
_SHARE = 0.1
# Weights that all gaps together have beside all observed entries, from weak to strong. A model that starts strongly
# held loses components that it does not find again.
_SHRINKAGES = (0.0003, 0.003, 0.01, 0.03, 0.1, 0.3)
# Sweeps at the first and at each later one, fewer once they no longer lower the error; choices of this library.
_FIRST_SWEEPS, _SWEEPS, _TOLERANCE = 20, 10, 1e-4
_PATIENCE = 2


class HoldOut:
    """Observed entries in two parts, one to fit and one to judge the fit.

    Arguments:
        train: what is fitted.
        test: what is predicted.
    """

    def __init__(self, train: MaskedData, test: MaskedData) -> None:
        self.train, self.test = train, test

    def error(self, factors: Sequence[Tensor]) -> float:
        """Relative error of the prediction; infinite where there was nothing to hold out."""
        return self.test.error(factors) if self.test.norm > 0 else float("inf")

    def evidence(self, smaller: Sequence[Tensor] | None, larger: Sequence[Tensor]) -> float:
        """How surely a larger model predicts better.

        Either the squared errors fall by three times the standard error of their mean fall, or their sum falls by
        more than four standard deviations of its logarithm, which says more where a few large errors go away.

        Arguments:
            smaller: factors of the smaller model, None for zero.
            larger: factors of the larger one.

        Returns:
            Above 1 where the fall is no accident.
        """
        truth = self.test.tensor[self.test.observed]
        if len(truth) < 2:
            return 0.0
        before = truth if smaller is None else truth - balanced_outer(smaller)[self.test.observed]
        after = truth - balanced_outer(larger)[self.test.observed]
        falls = before.square() - after.square()
        spread = float(falls.std()) / len(falls) ** 0.5
        tiny = torch.finfo(falls.dtype).tiny
        ratio = float(after.square().sum()) / max(float(before.square().sum()), tiny)
        accident = 4 * (2 / len(falls)) ** 0.5
        return max(float(falls.mean()) / max(3 * spread, tiny), -log(max(ratio, tiny)) / accident)


def hold_out(data: MaskedData, generator: torch.Generator) -> HoldOut:
    """Hold out a random tenth of the observed entries, never all of a slice.

    Arguments:
        data: the tensor with its mask.
        generator: of the CPU.

    Returns:
        The two parts.
    """
    observed = data.observed
    draw = torch.rand(data.shape, generator=generator).to(data.device)
    hidden = observed & (draw < _SHARE)
    for mode in range(len(data.shape)):
        others = tuple(axis for axis in range(len(data.shape)) if axis != mode)
        emptied = ~(observed & ~hidden).any(dim=others)
        shape = [-1 if axis == mode else 1 for axis in range(len(data.shape))]
        hidden = hidden & ~emptied.view(shape)
    return HoldOut(MaskedData(data.tensor, observed & ~hidden), MaskedData(data.tensor, hidden))


@dataclass(frozen=True, slots=True)
class Trial:
    """A fit to a part of the entries.

    Arguments:
        shrinkage: weight of the gaps.
        factors: one ``(n_i, R)`` per mode.
        error: relative error of the prediction of the entries held out.
    """

    shrinkage: float
    factors: list[Tensor]
    error: float


def best_shrinkage(parts: HoldOut, factors: Sequence[Tensor], settings: Settings) -> Trial:
    """The weight of the gaps with which a model predicts best.

    Arguments:
        parts: what to fit and what to predict.
        factors: start; not changed.
        settings: passed to the solver.

    Returns:
        The best of the fits.
    """
    current = list(factors)
    best = Trial(1.0, current, float("inf"))
    worse = 0
    observed = parts.train.count / parts.train.tensor.numel()
    for share in _SHRINKAGES:
        shrinkage = min(share * observed / (1 - observed), 1.0)
        train = parts.train.shrunk(shrinkage)
        current, _ = alternate(
            train, current, settings, sweeps=_SWEEPS, tolerance=_TOLERANCE, name="held_out"
        )
        error = parts.error(current)
        worse = 0 if error < best.error else worse + 1
        if error < best.error:
            best = Trial(shrinkage, current, error)
        if worse == _PATIENCE or settings.recorder.stopped:
            break
    return best
