"""Optimisers on ``||X w - y||²/2`` with fewer rows than columns: where they end, and what of it the data cannot see.

Axes: n rows, d > n columns; ``X (n, d)``, ``y (n,)``, ``w (d,)``. P is the projection on the span of the rows.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

__all__ = [
    "METHODS",
    "Method",
    "Step",
    "fixed_diagonal",
    "full_adagrad",
    "minimum_norm",
    "preconditioned_limit",
    "span_projection",
    "trajectory",
]

Step = Callable[[Tensor, int], Tensor]
"""From the weights and the number of the step to the weights after it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """An optimiser of the study.

    Arguments:
        name: as tables show it.
        stays: whether theory says that it stays in the span of the rows from 0.
        build: from X, y, a generator and the number of steps to the step.
    """

    name: str
    stays: bool
    build: Callable[[Tensor, Tensor, torch.Generator, int], Step]


def minimum_norm(inputs: Tensor, labels: Tensor) -> Tensor:
    """The interpolating weights of least norm, ``X^T (X X^T)^-1 y``.

    Arguments:
        inputs: X, ``(n, d)``, rows independent.
        labels: y, ``(n,)``.

    Returns:
        ``(d,)``.

    Example:
        >>> minimum_norm(torch.tensor([[1.0, 1.0]]), torch.tensor([2.0]))
        tensor([1., 1.])
    """
    return preconditioned_limit(inputs, labels, torch.ones_like(inputs[0]), torch.zeros_like(inputs[0]))


def preconditioned_limit(inputs: Tensor, labels: Tensor, scale: Tensor, start: Tensor) -> Tensor:
    """The limit of gradient descent with a fixed diagonal preconditioner D > 0.

    It is ``w_0 + D X^T (X D X^T)^-1 (y - X w_0)``: all iterates lie in ``w_0 + D X^T R^n``, where ``X w = y`` has
    exactly this solution.

    Arguments:
        inputs: X, ``(n, d)``, rows independent.
        labels: y, ``(n,)``.
        scale: diagonal of D, ``(d,)``, positive.
        start: w_0, ``(d,)``.

    Returns:
        ``(d,)``.
    """
    scaled = scale[:, None] * inputs.mT
    return start + scaled @ torch.linalg.solve(inputs @ scaled, labels - inputs @ start)


def span_projection(inputs: Tensor) -> Tensor:
    """P, ``(d, d)``: the orthogonal projection on the span of the rows."""
    basis = torch.linalg.qr(inputs.mT).Q
    return basis @ basis.mT


def trajectory(step: Step, start: Tensor, steps: int, kept: list[int]) -> dict[int, Tensor]:
    """The weights after the kept numbers of steps, by number.

    Arguments:
        step: see ``Step``.
        start: ``(d,)``.
        steps: how many.
        kept: numbers from 0 to steps; what lies outside is left out.

    Returns:
        Copies.
    """
    wanted, weights = set(kept), start
    found = {0: start.clone()} if 0 in wanted else {}
    for number in range(steps):
        weights = step(weights, number)
        if number + 1 in wanted:
            found[number + 1] = weights.clone()
    return found


def _gradient(inputs: Tensor, labels: Tensor, weights: Tensor) -> Tensor:
    return inputs.mT @ (inputs @ weights - labels)


def _torch_optimizer(
    kind: type[torch.optim.Optimizer], *, decay: float = 1.0, relative: bool = False, **options: Any
) -> Callable[[Tensor, Tensor, torch.Generator, int], Step]:
    """A builder of steps of an optimiser of PyTorch on the full gradient.

    Arguments:
        kind: its class.
        decay: factor of the step size after every step.
        relative: step sizes are in units of one over the largest eigenvalue of ``X^T X``.
        **options: of the optimiser.
    """

    def build(inputs: Tensor, labels: Tensor, generator: torch.Generator, steps: int) -> Step:
        unit = float(torch.linalg.matrix_norm(inputs, 2)) ** -2 if relative else 1.0
        parameter = torch.zeros_like(inputs[0]).requires_grad_(True)
        optimizer = kind([parameter], **{**options, "lr": options["lr"] * unit})

        def step(weights: Tensor, number: int) -> Tensor:
            with torch.no_grad():
                parameter.copy_(weights)
            parameter.grad = _gradient(inputs, labels, weights)
            optimizer.step()
            for group in optimizer.param_groups:
                group["lr"] *= decay
            return parameter.detach().clone()

        return step

    return build


def _single_rows(inputs: Tensor, labels: Tensor, generator: torch.Generator, steps: int) -> Step:
    """Stochastic gradients of one random row each, with the largest step that is stable for every row."""
    rows = torch.randint(len(inputs), (steps,), generator=generator).tolist()
    rate = 1 / float(inputs.square().sum(1).max())

    def step(weights: Tensor, number: int) -> Tensor:
        row = rows[number]
        return weights - rate * (inputs[row] @ weights - labels[row]) * inputs[row]

    return step


def _normalised(inputs: Tensor, labels: Tensor, generator: torch.Generator, steps: int) -> Step:
    """Steps of prescribed length along the gradient; the length falls by a hundredth each step, from 0.1."""

    def step(weights: Tensor, number: int) -> Tensor:
        gradient = _gradient(inputs, labels, weights)
        return weights - 0.1 * _FALL**number * gradient / gradient.norm().clamp(min=1e-300)

    return step


def _scalar_adagrad(inputs: Tensor, labels: Tensor, generator: torch.Generator, steps: int) -> Step:
    """AdaGrad with one step size for all coordinates (Ward, Wu, Bottou 2019, AdaGrad Stepsizes)."""
    squares = torch.zeros((), dtype=inputs.dtype)

    def step(weights: Tensor, number: int) -> Tensor:
        gradient = _gradient(inputs, labels, weights)
        squares.add_(gradient.square().sum())
        return weights - gradient / squares.sqrt().clamp(min=1e-300)

    return step


def _ridge_newton(inputs: Tensor, labels: Tensor, generator: torch.Generator, steps: int) -> Step:
    """The preconditioner ``(X^T X + I)^-1``, which maps the span of the rows to itself."""
    inverse = torch.linalg.inv(inputs.mT @ inputs + torch.eye(inputs.shape[1], dtype=inputs.dtype))
    return lambda weights, number: weights - inverse @ _gradient(inputs, labels, weights)


def full_adagrad(epsilon: float) -> Callable[[Tensor, Tensor, torch.Generator, int], Step]:
    """AdaGrad with the full matrix: ``w - (G^(1/2) + epsilon)^-1 g``, G the sum of the ``g g^T`` so far.

    Every g lies in the span of the rows, so G maps the span to itself and everything else to 0; the preconditioner
    keeps the span. In floating point g has a rounding error outside, which the inverse multiplies by ``1/epsilon``.

    Arguments:
        epsilon: > 0.
    """

    def build(inputs: Tensor, labels: Tensor, generator: torch.Generator, steps: int) -> Step:
        total = torch.zeros(inputs.shape[1], inputs.shape[1], dtype=inputs.dtype)

        def step(weights: Tensor, number: int) -> Tensor:
            gradient = _gradient(inputs, labels, weights)
            total.add_(torch.outer(gradient, gradient))
            values, vectors = torch.linalg.eigh(total)
            root = values.clamp(min=0).sqrt() + epsilon
            return weights - vectors @ ((vectors.mT @ gradient) / root)

        return step

    return build


def fixed_diagonal(scale: Tensor, inputs: Tensor, labels: Tensor) -> Step:
    """Gradient descent with the fixed preconditioner D, at one over the largest eigenvalue of ``X D X^T``.

    Arguments:
        scale: diagonal of D, ``(d,)``, positive.
        inputs: X.
        labels: y.
    """
    rate = 1 / float(torch.linalg.matrix_norm(inputs * scale.sqrt(), 2)) ** 2
    return lambda weights, number: weights - rate * scale * _gradient(inputs, labels, weights)


_OPTIM = torch.optim
_FALL = 0.99  # of the step size per step; choice of this library
METHODS: tuple[Method, ...] = (
    Method(name="gradient descent", stays=True, build=_torch_optimizer(_OPTIM.SGD, lr=1.0, relative=True)),
    Method(
        name="heavy ball",
        stays=True,
        build=_torch_optimizer(_OPTIM.SGD, lr=1.0, relative=True, momentum=0.9),
    ),
    Method(name="one row at a time", stays=True, build=_single_rows),
    Method(name="normalised gradient", stays=True, build=_normalised),
    Method(name="AdaGrad, one scalar", stays=True, build=_scalar_adagrad),
    Method(name="(X^T X + I)^-1", stays=True, build=_ridge_newton),
    Method(name="AdaGrad, full matrix", stays=True, build=full_adagrad(1e-4)),
    *(
        Method(name=f"AdaGrad, step {lr:g}", stays=False, build=_torch_optimizer(_OPTIM.Adagrad, lr=lr))
        for lr in (0.01, 0.1, 0.3)
    ),
    Method(name="AMSGrad", stays=False, build=_torch_optimizer(_OPTIM.Adam, lr=0.01, amsgrad=True)),
    *(
        Method(name=f"{name}, falling step", stays=False, build=_torch_optimizer(kind, lr=0.01, decay=_FALL))
        for name, kind in (("Adam", _OPTIM.Adam), ("RMSprop", _OPTIM.RMSprop))
    ),
    Method(name="Adam", stays=False, build=_torch_optimizer(_OPTIM.Adam, lr=0.01)),
    Method(name="RMSprop", stays=False, build=_torch_optimizer(_OPTIM.RMSprop, lr=0.01)),
)
