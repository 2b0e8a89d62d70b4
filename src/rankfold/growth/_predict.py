"""Predict the matrix between two layers from theirs, in their common basis, and say whether that beats predicting zero.

Axes: L layers, R common rank, I columns.
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from rankfold.growth._joint_svd import SharedBasis

__all__ = ["Prediction", "Predictor", "fit_predictor"]

_HIDDEN, _RATE, _BATCH = 256, 1e-3, 64  # Yang et al. 2025 and their released notebook
_HELD_OUT = 4  # every fourth triple of layers is held out; choice of this library


@dataclass(frozen=True, slots=True, kw_only=True)
class Prediction:
    """How good predictions are where the answer is known but was not trained on.

    Arguments:
        error: mean squared error over the mean square of the answer; predicting zero gives 1. None where there are too
            few layers to hold one out.
        norm_ratio: norm of the predictions over that of the answers; None likewise.
    """

    error: float | None
    norm_ratio: float | None

    @property
    def beats_zero(self) -> bool | None:
        """Whether the prediction is better than zero; None where it is not known."""
        return None if self.error is None else self.error < 1


class Predictor(nn.Module):
    """From a singular direction of two layers to that of the one between them.

    Arguments:
        columns: I.
    """

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(2 * columns, _HIDDEN),
            nn.ReLU(),
            nn.Linear(_HIDDEN, _HIDDEN),
            nn.ReLU(),
            nn.Linear(_HIDDEN, columns),
        )

    def forward(self, before: Tensor, after: Tensor) -> Tensor:
        """Map ``(..., I)`` of both neighbours to ``(..., I)``."""
        return self.body(torch.cat([before, after], -1))


def fit_predictor(
    basis: SharedBasis, *, epochs: int, norm_weight: float, generator: torch.Generator
) -> tuple[Predictor, Prediction]:
    """Train a predictor on all triples of neighbouring layers, and judge one that has not seen some of them.

    Arguments:
        basis: of at least three layers.
        epochs: over the rows of all triples.
        norm_weight: share of the loss that compares norms of mini-batches, in [0, 1].
        generator: source of weights and order.

    Returns:
        The predictor in float64, and how one like it does on triples that were held out.
    """
    triples = list(range(1, len(basis.coefficients) - 1))
    held = triples[_HELD_OUT // 2 :: _HELD_OUT] if len(triples) > 1 else []
    judged = Prediction(error=None, norm_ratio=None)
    if held:
        seen = [place for place in triples if place not in held]
        trial = _fit(basis.coefficients, seen, epochs, norm_weight, generator)
        with torch.no_grad():
            answer = basis.coefficients[held]
            guess = trial(*_neighbours(basis.coefficients, held))
        error = (guess - answer).square().mean() / answer.square().mean()
        judged = Prediction(error=float(error), norm_ratio=float(guess.norm() / answer.norm()))
    return _fit(basis.coefficients, triples, epochs, norm_weight, generator), judged


@torch.enable_grad()
def _fit(
    coefficients_LRI: Tensor, places: list[int], epochs: int, norm_weight: float, generator: torch.Generator
) -> Predictor:
    columns = coefficients_LRI.shape[2]
    predictor = Predictor(columns).double()
    for parameter in predictor.parameters():
        bound = (parameter.shape[1] if parameter.ndim > 1 else _HIDDEN) ** -0.5
        parameter.data.uniform_(-bound, bound, generator=generator)
    before, after = (part.flatten(0, 1) for part in _neighbours(coefficients_LRI, places))
    target = coefficients_LRI[places].flatten(0, 1)
    optimizer = torch.optim.AdamW(predictor.parameters(), lr=_RATE)
    for _ in range(epochs):
        for rows in torch.randperm(len(target), generator=generator).split(_BATCH):
            guess = predictor(before[rows], after[rows])
            difference = (guess.norm() - target[rows].norm()).square()
            loss = (1 - norm_weight) * nn.functional.mse_loss(guess, target[rows]) + norm_weight * difference
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return predictor


def _neighbours(coefficients_LRI: Tensor, places: list[int]) -> tuple[Tensor, Tensor]:
    return coefficients_LRI[[place - 1 for place in places]], coefficients_LRI[
        [place + 1 for place in places]
    ]
