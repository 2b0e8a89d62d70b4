"""Small problems with known answers on which whole integrator steps are tried, in float64.

Axes: d modes of sizes n_i, ranks r_i; W = C x_1 U_1 ... x_d U_d; G the dense gradient of the loss at W.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from rankfold.formats import Tucker
from rankfold.linalg import mode_product, mode_products, unfold
from rankfold.training.integrators import INTEGRATORS, BasisStep, Gradients

__all__ = [
    "core_in",
    "decayed",
    "gradients",
    "moved",
    "normal",
    "random_tucker",
    "relative",
    "squared_loss",
    "tangent_projection",
    "unit_turn",
    "widened",
]


def normal(generator: torch.Generator, *shape: int) -> Tensor:
    """Standard normal float64 numbers."""
    return torch.randn(*shape, generator=generator, dtype=torch.float64)


def random_tucker(shape: Sequence[int], ranks: Sequence[int], generator: torch.Generator) -> Tucker:
    """Random orthonormal bases and a normal core, in HOSVD form."""
    factors = [torch.linalg.qr(normal(generator, n, r)).Q for n, r in zip(shape, ranks, strict=True)]
    return Tucker(normal(generator, *ranks), tuple(factors)).rotate()


def unit_turn(size: int, generator: torch.Generator) -> Tensor:
    """A random skew matrix of spectral norm 1; its exponential at time t turns by angles of at most t."""
    drawn = normal(generator, size, size)
    skew = drawn - drawn.mT
    return skew / torch.linalg.matrix_norm(skew, ord=2)


def decayed(tucker: Tucker, decay: float) -> Tucker:
    """The same bases with slices k = 0, 1, ... of the core multiplied by decay^-k in every mode, in HOSVD form."""
    core = tucker.core
    for mode, size in enumerate(core.shape):
        weights = decay ** -torch.arange(size, dtype=core.dtype)
        core = mode_product(core, weights.diag(), mode)
    return Tucker(core.contiguous(), tucker.factors).rotate()


def gradients(tucker: Tucker, dense: Tensor) -> Gradients:
    """Gradients of ``<G, W>`` in core and factors by autograd, as a layer hands them to the integrators."""
    core = tucker.core.clone().requires_grad_()
    factors = [None if f is None else f.clone().requires_grad_() for f in tucker.factors]
    (Tucker(core, tuple(factors)).to_dense() * dense).sum().backward()
    assert core.grad is not None
    return Gradients(
        core.grad, {m: f.grad for m, f in enumerate(factors) if f is not None and f.grad is not None}
    )


def core_in(tucker: Tucker, dense: Tensor) -> Tensor:
    """Coordinates ``G x_i U_iᵀ`` of a dense tensor in the bases of a Tucker tensor."""
    return mode_products(dense, {m: f.mT for m, f in enumerate(tucker.factors) if f is not None})


def widened(integrator: str, tucker: Tucker, dense: Tensor, rate: float) -> BasisStep:
    """The basis step alone."""
    return INTEGRATORS[integrator].advance([tucker], [gradients(tucker, dense)], [rate])[0]


def moved(
    integrator: str, tucker: Tucker, dense: Tensor, rate: float, second: Tensor | None = None
) -> Tucker:
    """One step of length ``rate`` against a dense gradient, before any truncation.

    Arguments:
        integrator: name in the registry.
        tucker: where the step starts.
        dense: gradient G at the start.
        rate: length.
        second: the gradient where the basis step led, for losses that an integrator without augmentation meets
            elsewhere; None means that it is G, as for every integrator that widens bases.
    """
    step = widened(integrator, tucker, dense, rate)
    inner = step.core_gradient
    if inner is None:
        inner = core_in(step.tucker, dense if second is None else second)
    return Tucker(step.tucker.core - rate * inner, step.tucker.factors)


def tangent_projection(tucker: Tucker, dense: Tensor) -> Tensor:
    """``P_T(W) G``, the projection on the tangent space of the Tucker manifold, from dense matrices.

    The core part, and for each mode i the part ``(I - U_i U_iᵀ) Mat_i(G)`` projected on the row space of Mat_i(W) (Koch
    and Lubich 2010, "Dynamical tensor approximation", section 2).
    """
    result = Tucker(core_in(tucker, dense), tucker.factors).to_dense()
    full = tucker.to_dense()
    for mode, factor in enumerate(tucker.factors):
        assert factor is not None
        rows = torch.linalg.qr(unfold(full, mode).mT @ factor).Q
        flat = unfold(dense, mode)
        part = ((flat - factor @ (factor.mT @ flat)) @ rows) @ rows.mT
        rest = [n for m, n in enumerate(full.shape) if m != mode]
        result = result + part.reshape(full.shape[mode], *rest).movedim(0, mode)
    return result


def squared_loss(tucker: Tucker, target: Tensor) -> float:
    """``1/2 ||W - target||²``."""
    return float((tucker.to_dense() - target).square().sum()) / 2


def relative(first: Tensor, second: Tensor) -> float:
    """``||first - second|| / ||second||``."""
    return float((first - second).norm() / second.norm())
