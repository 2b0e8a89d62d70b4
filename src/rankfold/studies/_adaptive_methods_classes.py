"""Two classes that the minimum norm solution tells apart, or not: the counter-example of Wilson et al., scaled.

Row i has the features ``(scale y_i, 1, 1)`` and then ones of its own: 1 of them for ``y_i = +1``, 5 for ``y_i = -1``. A
fresh point has private ones that no weight has seen, so that only the first three weights count for it.
Reference: Wilson, Roelofs, Stern, Srebro, Recht 2017, "The Marginal Value of Adaptive Gradient Methods in Machine
Learning", section 3.3; there scale = 1.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rankfold.studies._adaptive_methods_runs import minimum_norm, preconditioned_limit

__all__ = ["SOLUTIONS", "accuracy", "class_rows", "fresh_scores", "least_scale", "minimum_norm_start"]

_PRIVATE = 5  # features that a row may have of its own


def class_rows(count: int, positive: int, scale: float = 1.0) -> tuple[Tensor, Tensor]:
    """The rows and their labels, positive ones first.

    Arguments:
        count: n.
        positive: how many have the label +1.
        scale: of the first feature.

    Returns:
        X ``(n, 3 + 5 n)`` and y ``(n,)``.

    Example:
        >>> class_rows(2, 1)[0][:, :8].tolist()
        [[1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0], [-1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]]
    """
    labels = torch.ones(count, dtype=torch.float64)
    labels[positive:] = -1
    rows = torch.zeros(count, 3 + _PRIVATE * count, dtype=torch.float64)
    rows[:, 0] = scale * labels
    rows[:, 1:3] = 1
    for number, label in enumerate(labels.tolist()):
        begin = 3 + _PRIVATE * number
        rows[number, begin : begin + (1 if label > 0 else _PRIVATE)] = 1
    return rows, labels


def fresh_scores(weights: Tensor, scale: float = 1.0) -> tuple[float, float]:
    """The scores of a fresh point with the label +1 and of one with -1.

    Arguments:
        weights: of all features; the first three count.
        scale: of the first feature.

    Returns:
        ``w_2 + w_3 + scale w_1`` and ``w_2 + w_3 - scale w_1``; the classes are right if the first is > 0 > the second.
    """
    first, both = scale * float(weights[0]), float(weights[1] + weights[2])
    return both + first, both - first


def accuracy(weights: Tensor, positive_share: float, scale: float = 1.0) -> float:
    """The share of fresh points whose score has the sign of their label.

    Arguments:
        weights: of all features.
        positive_share: of the fresh points.
        scale: of the first feature.
    """
    positive, negative = fresh_scores(weights, scale)
    return positive_share * (positive > 0) + (1 - positive_share) * (negative < 0)


def minimum_norm_start(positive: int, negative: int) -> tuple[float, float, float]:
    """The first three weights of the minimum norm solution at scale 1, in closed form.

    It is ``X^T a`` with ``a = alpha_+`` on the positive rows, ``-alpha_-`` on the others. With ``F = n_+ alpha_+ +
    n_- alpha_-`` and ``S = n_+ alpha_+ - n_- alpha_-`` the rows say ``F + 2 S + alpha_+ = 1`` and ``F - 2 S +
    5 alpha_- = 1``, hence ``alpha_+ = (4 n_- + 5)/D``, ``alpha_- = (4 n_+ + 1)/D`` with ``D = 8 n_+ n_- + 15 n_+ +
    3 n_- + 5``.

    Arguments:
        positive: n_+.
        negative: n_-.

    Returns:
        ``F, S, S``.
    """
    determinant = 8 * positive * negative + 15 * positive + 3 * negative + 5
    plus, minus = (4 * negative + 5) / determinant, (4 * positive + 1) / determinant
    second = positive * plus - negative * minus
    return positive * plus + negative * minus, second, second


def least_scale(positive: int, negative: int) -> float:
    """The scale of the first feature from which on the minimum norm solution gets both classes right.

    With the scale s the rows say ``s² F + 2 S + alpha_+ = 1`` and ``s² F - 2 S + 5 alpha_- = 1``; the numerators of
    alpha stay ``4 n_- + 5`` and ``4 n_+ + 1``. Fresh points have the scores ``2 S + s² F`` and ``2 S - s² F``, which
    have the right signs if ``s² F > 2 |S|``; F and S are proportional to ``8 n_+ n_- + 5 n_+ + n_-`` and
    ``5 n_+ - n_-``.

    Arguments:
        positive: n_+.
        negative: n_-.

    Returns:
        The scale at which one score is 0.
    """
    wide = 8 * positive * negative + 5 * positive + negative
    return (2 * abs(5 * positive - negative) / wide) ** 0.5


def _optimised(
    kind: type[torch.optim.Optimizer], rows: Tensor, labels: Tensor, steps: int, **options: Any
) -> Tensor:
    parameter = torch.zeros_like(rows[0]).requires_grad_(True)
    optimizer = kind([parameter], **options)
    for _ in range(steps):
        parameter.grad = rows.mT @ (rows @ parameter.detach() - labels)
        optimizer.step()
    return parameter.detach()


def _without_root(rows: Tensor, labels: Tensor, steps: int) -> Tensor:
    """AdaGrad whose step is divided by the sum of squares of the gradients instead of its root.

    A feature times s makes its gradient s times and its step 1/s times as large, so what the weights do does not
    depend on the scale of a feature at all.
    """
    weights, squares = torch.zeros_like(rows[0]), torch.zeros_like(rows[0])
    for _ in range(steps):
        gradient = rows.mT @ (rows @ weights - labels)
        squares = squares + gradient.square()
        # A sum of zeros has a gradient of zeros above it.
        weights = weights - 0.5 * gradient / squares.clamp(min=1e-300)
    return weights


def _unscaled(rows: Tensor, labels: Tensor, steps: int) -> Tensor:
    """The limit of the fixed preconditioner that undoes the scale of the features: 1 over their mean square.

    Features that no row has keep the preconditioner 1.
    """
    squares = rows.square().amax(0)
    scale = 1 / torch.where(squares > 0, squares, 1.0)
    return preconditioned_limit(rows, labels, scale, torch.zeros_like(scale))


SOLUTIONS: dict[str, Callable[[Tensor, Tensor, int], Tensor]] = {
    "minimum norm": lambda rows, labels, steps: minimum_norm(rows, labels),
    "AdaGrad": lambda rows, labels, steps: _optimised(torch.optim.Adagrad, rows, labels, steps, lr=0.1),
    "Adam": lambda rows, labels, steps: _optimised(torch.optim.Adam, rows, labels, steps, lr=0.01),
    "AdaGrad without root": _without_root,
    "unscaled features": _unscaled,
}
