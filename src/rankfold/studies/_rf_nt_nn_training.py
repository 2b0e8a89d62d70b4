"""Networks with quadratic activations, trained: on the population risk, and by stochastic gradients in one pass.

Axes: d inputs, N neurons, weights ``W (N, d)``, batches ``X (b, d)``.
"""

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["descended_risk", "lbfgs_risk", "one_pass_network_risk", "one_pass_tangent_risk"]

# The schedule of the authors' code, scaled to fewer steps: a tenth of the step size for the last fifth, a fifteenth of
# that for the last tenth; batches of 100. Step sizes at the start are choices of this library.
_BATCH = 100
_SCHEDULE = ((0.9, 1 / 150), (0.8, 1 / 10), (0.0, 1.0))
_TANGENT_STEP = 0.03
_NETWORK_STEP = 0.05


def descended_risk(weights: Tensor, spectrum: Tensor, steps: int) -> float:
    """``||W^T W - B||²/||B||²`` after gradient descent on ``2 ||W^T W - B||²``.

    The step is ``1/(16 b)`` with b the largest eigenvalue of B: half of what is stable at the minimum, where the
    curvature is at most ``16 b``.

    Arguments:
        weights: the start, ``(N, d)``.
        spectrum: eigenvalues of B, ``(d,)``, not negative.
        steps: how many.

    Returns:
        The risk over that of the best constant.
    """
    target = torch.diag(spectrum)
    step = 1 / (16 * float(spectrum.max()))
    for _ in range(steps):
        weights = weights - 8 * step * weights @ (weights.mT @ weights - target)
    return float((weights.mT @ weights - target).square().sum() / spectrum.square().sum())


def lbfgs_risk(
    risk: Callable[[Tensor, Tensor], Tensor], weights: Tensor, spectrum: Tensor, steps: int
) -> float:
    """The population risk after L-BFGS with line search, all weights trained.

    Arguments:
        risk: from weights and spectrum to a scalar.
        weights: the start, ``(N, d)``.
        spectrum: of the target, ``(d,)``.
        steps: at most this many.

    Returns:
        The risk at the end.
    """
    trained = weights.clone().requires_grad_(True)
    optimizer = torch.optim.LBFGS(
        [trained],
        max_iter=steps,
        tolerance_grad=1e-9,
        tolerance_change=0,
        history_size=20,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = risk(trained, spectrum)
        value.backward()
        return value

    optimizer.step(closure)  # pyright: ignore[reportArgumentType] - PyTorch's stub wants a float, its code a tensor
    return float(risk(trained.detach(), spectrum))


def one_pass_tangent_risk(weights: Tensor, spectrum: Tensor, steps: int, generator: torch.Generator) -> float:
    """The risk of ``c + sum <w_i, x><a_i, x>`` after one pass of stochastic gradients over fresh samples.

    The target is ``(<x, Bx> - tr B)/sqrt(2 ||B||²)``, the loss half the mean square, the step size divided by the
    largest eigenvalue of ``W^T W``, which bounds the curvature together with the fourth moments of x.

    Arguments:
        weights: W, ``(N, d)``, not trained; a starts at 0.
        spectrum: eigenvalues of B, ``(d,)``.
        steps: batches of 100.
        generator: of the samples.

    Returns:
        The population risk of the trained model, exact: ``2 ||A - B||²`` plus the square of the mean error.
    """
    target = spectrum / float(2 * spectrum.square().sum()) ** 0.5
    directions, offset = torch.zeros_like(weights), 0.0
    scale = _TANGENT_STEP / float(torch.linalg.matrix_norm(weights, 2)) ** 2
    for number in range(steps):
        step = scale * _factor(number / steps)
        inputs = _samples(weights, generator)
        hidden = inputs @ weights.mT
        error = (hidden * (inputs @ directions.mT)).sum(1) + offset - _labels(inputs, target)
        directions = directions - step / _BATCH * (hidden * error[:, None]).mT @ inputs
        offset -= _TANGENT_STEP * _factor(number / steps) * float(error.mean())
    matrix = weights.mT @ directions
    return _risk_of((matrix + matrix.mT) / 2, offset, target)


def one_pass_network_risk(weights: Tensor, spectrum: Tensor, steps: int, generator: torch.Generator) -> float:
    """The risk of ``c + a sum <w_i, x>²`` with W, a, c trained by one pass of stochastic gradients over fresh samples.

    Arguments:
        weights: the start of W, ``(N, d)``; a and c start at 0, as in the authors' code.
        spectrum: eigenvalues of B, ``(d,)``.
        steps: batches of 100.
        generator: of the samples.

    Returns:
        The population risk of the trained model, exact.
    """
    target = spectrum / float(2 * spectrum.square().sum()) ** 0.5
    second, offset = 0.0, 0.0
    for number in range(steps):
        step = _NETWORK_STEP * _factor(number / steps)
        inputs = _samples(weights, generator)
        hidden = inputs @ weights.mT
        power = hidden.square().sum(1)
        error = second * power + offset - _labels(inputs, target)
        change = 2 * second / _BATCH * (hidden * error[:, None]).mT @ inputs
        # The sum of squares is of size N: without the division the scalar would be unstable at once.
        second -= step / len(weights) * float((error * power).mean())
        offset -= step * float(error.mean())
        weights = weights - step * change
    return _risk_of(second * weights.mT @ weights, offset, target)


def _factor(done: float) -> float:
    return next(factor for start, factor in _SCHEDULE if done >= start)


def _samples(weights: Tensor, generator: torch.Generator) -> Tensor:
    return torch.randn(_BATCH, weights.shape[1], generator=generator, dtype=weights.dtype)


def _labels(inputs: Tensor, target: Tensor) -> Tensor:
    return inputs.square() @ target - target.sum()


def _risk_of(matrix: Tensor, offset: float, target: Tensor) -> float:
    """Mean square of ``<x, Ax> + c - (<x, Bx> - tr B)`` for Gaussian x; A is symmetric, the target has moment 1."""
    error = matrix - torch.diag(target)
    mean = float(error.trace()) + offset + float(target.sum())
    return 2 * float(error.square().sum()) + mean**2
