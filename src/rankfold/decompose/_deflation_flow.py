"""The epochs of the modified gradient flow that provably deflates a tensor."""

import math

import torch
from torch import Tensor

from rankfold.decompose._homogeneous import FlowCallback, Reinitialise, homogeneous_flow
from rankfold.decompose._symmetric_target import Target

__all__ = ["deflation_flow"]


def deflation_flow(
    target: Target,
    vectors: Tensor,
    signs: Tensor,
    *,
    step: float,
    weight_decay: float,
    largest: float,
    accuracy: float,
    decrease: float,
    threshold: float,
    scale: float,
    generator: torch.Generator,
    callback: FlowCallback | None = None,
) -> tuple[Tensor, Tensor]:
    """The modified gradient flow of paper B: epochs for ever smaller components, each of two phases.

    Arguments:
        target: what is approximated.
        vectors: the start, ``(..., m, d)``.
        signs: ``(..., m)``.
        step: length of a step, the unit of time of the flow.
        weight_decay: lambda, > 0.
        largest: beta of the first epoch, at least the largest weight of the target.
        accuracy: epsilon; epochs end when beta falls below ``accuracy / sqrt(d)``.
        decrease: gamma in (0, 1): beta falls by this fraction per epoch.
        threshold: delta_1; components of norm below it start again between the phases.
        scale: delta_0, the norm they start with.
        generator: source of their directions.
        callback: as for :func:`homogeneous_flow`; counts steps through all epochs.

    Returns:
        The vectors and signs reached.

    Reference:
        Ge, Ren, Wang, Zhou 2021, algorithm 1, with all constants hidden in O() taken as 1.
    """
    size = vectors.shape[-1]
    again = Reinitialise(1, threshold, scale, generator)
    beta, done, ended = largest, 0, False

    def watch(number: int, now: Tensor, fixed: Tensor) -> bool:
        nonlocal ended
        ended = callback is not None and callback(done + number, now, fixed) is True
        return ended

    while beta >= accuracy / math.sqrt(size) and not ended:
        first = size / (beta * math.log(size))
        second = (math.log(1 / threshold) + math.log(1 / weight_decay)) / beta
        for phase, duration in enumerate((first, second)):
            if phase:
                vectors, signs = again(vectors, signs)
            count = math.ceil(duration / step)
            vectors, signs = homogeneous_flow(
                target, vectors, signs, step=step, steps=count, weight_decay=weight_decay, callback=watch
            )
            done += count
            if ended:
                break
        beta *= 1 - decrease
    return vectors, signs
