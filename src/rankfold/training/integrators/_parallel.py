"""Parallel basis step: bases and core from one gradient."""

from collections.abc import Sequence

import torch
from torch import Tensor

from rankfold.formats import Tucker
from rankfold.linalg import fold_mode, product
from rankfold.training.integrators._augmented import widened
from rankfold.training.integrators._basis_gradient import BasisGradient, basis_gradients
from rankfold.training.integrators._types import BasisStep, Gradients

__all__ = ["parallel_step"]


def parallel_step(
    tuckers: Sequence[Tucker], gradients: Sequence[Gradients], learning_rates: Sequence[float]
) -> list[BasisStep]:
    """Widen every basis, and give the core gradient in the wider bases from what one pass knows.

    Its block of old coordinates is dL/dC; the block that is new in mode i and old elsewhere is
    Ten_i(Ũ_iᵀ dL/dK_i Q_iᵀ); blocks new in two modes or more are zero. A gradient step on the core with it is
    exactly W - lr P_T(G), Riemannian gradient descent before its retraction.

    Arguments:
        tuckers: tensors with orthonormal factors.
        gradients: their gradients.
        learning_rates: not used; the inner optimiser steps along the core gradient.

    Returns:
        Basis steps with core gradients.
    """
    found = basis_gradients(tuckers, gradients)
    wider = widened(tuckers, found)
    return [
        BasisStep(new, {}, _core_gradient(old, new, given.core, parts))
        for old, new, given, parts in zip(tuckers, wider, gradients, found, strict=True)
    ]


def _core_gradient(old: Tucker, new: Tucker, gradient: Tensor, parts: dict[int, BasisGradient]) -> Tensor:
    result = torch.zeros_like(new.core)
    result[tuple(slice(size) for size in old.core.shape)] = gradient
    for mode, part in parts.items():
        rank, basis = old.core.shape[mode], new.factors[mode]
        assert basis is not None
        fresh = basis[:, rank:].to(part.gradient.dtype)
        shape = list(old.core.shape)
        shape[mode] = fresh.shape[1]
        block = fold_mode(product(fresh.mT @ part.gradient, part.orthonormal.mT), mode, tuple(shape))
        where = [slice(size) for size in old.core.shape]
        where[mode] = slice(rank, None)
        result[tuple(where)] = block.to(result.dtype)
    return result
