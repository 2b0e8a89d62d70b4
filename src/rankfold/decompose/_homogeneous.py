"""The 2-homogeneous symmetric model of over-parameterised tensor decomposition, and its gradient flow.

Axes: m components, d dimensions, l order, r components of the target. The model is
``sum_i a_i ||u_i||^(2-l) u_i^(x)l`` with fixed signs a_i: its component i has norm ``||u_i||²`` whatever the order.
Any leading axes are independent runs. Only Gram matrices are formed where the target is given by its components.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from rankfold.decompose._symmetric_target import Target

__all__ = [
    "FlowCallback",
    "Reinitialise",
    "homogeneous_flow",
    "homogeneous_gradient",
    "homogeneous_loss",
    "sphere",
]

FlowCallback = Callable[[int, Tensor, Tensor], bool | None]


@dataclass(frozen=True, slots=True, eq=False)
class Reinitialise:
    """Give components that stay small a fresh direction from time to time.

    Arguments:
        every: steps between two looks.
        below: components of norm ``||u||`` less than this start again.
        scale: with this norm.
        generator: source of the directions, on the CPU.
        signs: draw their signs afresh too; for targets of even order with components of both signs.
    """

    every: int
    below: float
    scale: float
    generator: torch.Generator
    signs: bool = False

    def __call__(self, vectors: Tensor, signs: Tensor) -> tuple[Tensor, Tensor]:
        """Vectors and signs with the small ones replaced."""
        small = torch.linalg.vector_norm(vectors, dim=-1) < self.below
        fresh = sphere(vectors.shape, self.scale, self.generator).to(vectors)
        vectors = torch.where(small.unsqueeze(-1), fresh, vectors)
        if self.signs:
            drawn = torch.randint(2, signs.shape, generator=self.generator).to(signs) * 2 - 1
            signs = torch.where(small, drawn, signs)
        return vectors, signs


def sphere(shape: tuple[int, ...], radius: float, generator: torch.Generator) -> Tensor:
    """Uniform vectors of the given norm along the last axis, float64 on the CPU."""
    drawn = torch.randn(shape, generator=generator, dtype=torch.float64)
    return radius * drawn / torch.linalg.vector_norm(drawn, dim=-1, keepdim=True)


def homogeneous_loss(target: Target, vectors: Tensor, signs: Tensor) -> Tensor:
    """Half the squared error of the model.

    Arguments:
        target: what is approximated.
        vectors: ``(..., m, d)``.
        signs: ``(..., m)``.

    Returns:
        ``½ ||model - target||²``, one per run; differences of squares, so exact to about 1e-16 of the target's.

    Example:
        >>> import torch
        >>> from rankfold.decompose._symmetric_target import ComponentTarget
        >>> target = ComponentTarget(torch.eye(2, 4), torch.tensor([2.0, 1.0]), order=3)
        >>> float(homogeneous_loss(target, torch.zeros(5, 4), torch.ones(5)))
        2.5
    """
    norms, units = _polar(vectors)
    weights = signs * norms.square()
    gram = (units @ units.mT) ** target.order
    inner = (weights * (target.contract(units) * units).sum(-1)).sum(-1)
    own = torch.einsum("...i,...ij,...j->...", weights, gram, weights)
    return 0.5 * (own - 2 * inner + target.squared_norm())


def homogeneous_gradient(target: Target, vectors: Tensor, signs: Tensor, *, frozen: bool = False) -> Tensor:
    """Derivative of :func:`homogeneous_loss` by the vectors.

    Arguments:
        target: what is approximated.
        vectors: ``(..., m, d)``.
        signs: ``(..., m)``.
        frozen: hold the scalars ``||u_i||^(2-l)`` fixed while differentiating, as paper A does.

    Returns:
        ``(..., m, d)``.

    Reference:
        Wang, Wu, Lee, Ma, Ge 2020, "Beyond Lazy Training for Over-parameterized Tensor Decomposition", algorithm 1
        (frozen); Ge, Ren, Wang, Zhou 2021, "Understanding Deflation Process in Over-parametrized Tensor
        Decomposition" (full).
    """
    norms, units = _polar(vectors)
    weights = signs * norms.square()
    powers = (units @ units.mT) ** (target.order - 1)
    residual = (powers * weights.unsqueeze(-2)) @ units - target.contract(units)
    result = target.order * residual
    if not frozen:
        result = result - (target.order - 2) * (residual * units).sum(-1, keepdim=True) * units
    return (signs * norms).unsqueeze(-1) * result


def homogeneous_flow(
    target: Target,
    vectors: Tensor,
    signs: Tensor,
    *,
    step: float,
    steps: int,
    frozen: bool = False,
    weight_decay: float = 0.0,
    reinitialise: Reinitialise | None = None,
    callback: FlowCallback | None = None,
) -> tuple[Tensor, Tensor]:
    """Gradient descent with a fixed step on ``homogeneous_loss + weight_decay / 2 ||U||²``; nothing else.

    Arguments:
        target: what is approximated.
        vectors: the start, ``(..., m, d)``, usually :func:`sphere` at small radius.
        signs: ``(..., m)``, each 1 or -1.
        step: length of a step, the unit of time of the flow.
        steps: how many.
        frozen: use the gradient of paper A.
        weight_decay: lambda of paper B, >= 0; shrinks every weight ``||u_i||²`` by lambda / 2 (full gradient).
        reinitialise: what happens to components that stay small; None leaves them alone.
        callback: called with steps done, vectors and signs before every step and at the end; True ends the flow.

    Returns:
        The vectors and signs reached.

    Reference:
        As :func:`homogeneous_gradient`. The scalars are renewed after every step; the different scalars that paper
        A uses for very small components are not.

    Example:
        >>> import torch
        >>> from rankfold.decompose._symmetric_target import ComponentTarget
        >>> target = ComponentTarget(torch.eye(3, 10, dtype=torch.float64), torch.ones(3).double(), order=3)
        >>> start = sphere((18, 10), 1e-3, torch.Generator().manual_seed(0))
        >>> signs = torch.ones(18).double()
        >>> found, signs = homogeneous_flow(target, start, signs, step=0.05, steps=400)
        >>> bool(homogeneous_loss(target, found, signs) < 1e-6)
        True
    """
    for done in range(steps):
        if callback is not None and callback(done, vectors, signs):
            return vectors, signs
        if reinitialise is not None and done and done % reinitialise.every == 0:
            vectors, signs = reinitialise(vectors, signs)
        gradient = homogeneous_gradient(target, vectors, signs, frozen=frozen)
        vectors = (1 - step * weight_decay) * vectors - step * gradient
    if callback is not None:
        callback(steps, vectors, signs)
    return vectors, signs


def _polar(vectors: Tensor) -> tuple[Tensor, Tensor]:
    norms = torch.linalg.vector_norm(vectors, dim=-1)
    return norms, vectors / norms.clamp_min(torch.finfo(vectors.dtype).tiny).unsqueeze(-1)
