"""Gradient descent on orthogonal targets with the 2-homogeneous model and, as control, with the naive objective.

Axes: n runs, m components, d dimensions, l order, r components of the target.
"""

import torch
from torch import Tensor

from rankfold.decompose._homogeneous import Reinitialise, homogeneous_flow, homogeneous_loss, sphere
from rankfold.decompose._symmetric_target import ComponentTarget

__all__ = ["homogeneous_iterations", "naive_iterations", "off_span", "orthonormal_target"]

_STEP = 0.05  # length of a step for both objectives, each with the factor 1/2
_DELTA = 1e-3  # norm of the components at the start
_SOLVED = 1e-4  # squared error over squared norm of the target, below which a run has succeeded
_LOOK = 10  # choice of this library: the loss costs more than a step, so it is taken every tenth


def orthonormal_target(size: int, order: int, weights: Tensor, generator: torch.Generator) -> ComponentTarget:
    """Targets of random orthonormal components.

    Arguments:
        size: d.
        order: l.
        weights: ``(n, r)``, one target per row.
        generator: source of the components.

    Returns:
        n targets.
    """
    drawn = torch.randn(len(weights), size, weights.shape[1], generator=generator, dtype=torch.float64)
    return ComponentTarget(torch.linalg.qr(drawn).Q.mT.contiguous(), weights, order)


def homogeneous_iterations(
    target: ComponentTarget, count: int, *, steps: int, again: int | None, generator: torch.Generator
) -> list[int]:
    """Steps of the 2-homogeneous model with equal signs until a run has succeeded.

    Arguments:
        target: n targets with components of positive weight.
        count: m.
        steps: how many at most.
        again: steps after which components that are still small (norm below ten times that of the start) are drawn
            afresh; None never.
        generator: source of the starts.

    Returns:
        One number per run, a multiple of 10; -1 for a run that has not succeeded.

    Reference:
        Wang, Wu, Lee, Ma, Ge 2020, "Beyond Lazy Training for Over-parameterized Tensor Decomposition", algorithm 1,
        without its regulariser and without the different scalars of small components.
    """
    runs, size = target.vectors.shape[0], target.vectors.shape[-1]
    first = torch.full((runs,), -1)

    def look(done: int, vectors: Tensor, signs: Tensor) -> bool:
        if done % _LOOK:
            return False
        good = 2 * homogeneous_loss(target, vectors, signs) < _SOLVED * target.squared_norm()
        first[(first < 0) & good] = done
        return bool((first >= 0).all())

    homogeneous_flow(
        target,
        sphere((runs, count, size), _DELTA, generator),
        torch.ones(runs, count, dtype=torch.float64),
        step=_STEP,
        steps=steps,
        frozen=True,
        reinitialise=None if again is None else Reinitialise(again, 10 * _DELTA, _DELTA, generator),
        callback=look,
    )
    return first.tolist()


def naive_iterations(
    target: ComponentTarget, count: int, *, steps: int, generator: torch.Generator
) -> list[int]:
    """Steps of gradient descent on ``½ ||sum_i u_i^(x)l - T*||²`` until a run has succeeded.

    Arguments:
        target: n targets.
        count: m.
        steps: how many at most.
        generator: source of the starts: normal entries of standard deviation ``0.5 / sqrt(d)``.

    Returns:
        One number per run, a multiple of 10; -1 for a run that has not succeeded.
    """
    runs, size = target.vectors.shape[0], target.vectors.shape[-1]
    vectors = 0.5 / size**0.5 * torch.randn(runs, count, size, generator=generator, dtype=torch.float64)
    first, order = torch.full((runs,), -1), target.order
    for done in range(steps + 1):
        if done % _LOOK == 0:
            gram = (vectors @ vectors.mT) ** order
            inner = (target.contract(vectors) * vectors).sum((-2, -1))
            squared = gram.sum((-2, -1)) - 2 * inner + target.squared_norm()
            first[(first < 0) & (squared < _SOLVED * target.squared_norm())] = done
            if bool((first >= 0).all()):
                break
        powers = (vectors @ vectors.mT) ** (order - 1)
        vectors = vectors - _STEP * order * (powers @ vectors - target.contract(vectors))
    return first.tolist()


def off_span(
    target: ComponentTarget, count: int, *, steps: int, generator: torch.Generator
) -> tuple[int, float]:
    """How much the components grow outside the span of the target's before it is fitted to 1e-3.

    Arguments:
        target: n targets.
        count: m.
        steps: how many at most.
        generator: source of the starts; small components are drawn afresh every 100 steps.

    Returns:
        The number of runs that have been fitted, and the largest ``||P U||_F`` over all runs and times before, in
        units of ``sqrt(m)`` times the norm of a component at the start; P projects off the span.
    """
    runs, size = target.vectors.shape[0], target.vectors.shape[-1]
    largest, fitted = torch.zeros(runs, dtype=torch.float64), torch.zeros(runs, dtype=torch.bool)

    def look(done: int, vectors: Tensor, signs: Tensor) -> bool:
        fitted.logical_or_(2 * homogeneous_loss(target, vectors, signs) < 1e-3 * target.squared_norm())
        off = torch.linalg.matrix_norm(vectors - vectors @ target.vectors.mT @ target.vectors)
        largest.copy_(torch.where(fitted, largest, torch.maximum(largest, off)))
        return bool(fitted.all())

    homogeneous_flow(
        target,
        sphere((runs, count, size), _DELTA, generator),
        torch.ones(runs, count, dtype=torch.float64),
        step=_STEP,
        steps=steps,
        frozen=True,
        reinitialise=Reinitialise(100, 10 * _DELTA, _DELTA, generator),
        callback=look,
    )
    return int(fitted.sum()), float(largest.max()) / (count**0.5 * _DELTA)
