"""Products with the Hessian of a loss, which itself is never formed."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

__all__ = ["hessian_product", "twice_differentiable"]


def twice_differentiable(
    loss: Callable[[], Tensor], parameters: Sequence[Tensor]
) -> tuple[Tensor, list[Tensor | None]]:
    """A loss and its gradients, which can be differentiated once more.

    Arguments:
        loss: computes a scalar.
        parameters: what to differentiate by.

    Returns:
        The loss, and one gradient per parameter; None where it does not depend on one.
    """
    # Fused kernels of attention cannot be differentiated twice.
    with torch.enable_grad(), sdpa_kernel(SDPBackend.MATH):
        value = loss()
        gradients = torch.autograd.grad(value, list(parameters), create_graph=True, allow_unused=True)
    return value, list(gradients)


def hessian_product(gradient: Tensor, parameter: Tensor, vector: Tensor) -> Tensor:
    """The block of the Hessian that belongs to a parameter, times a vector of its shape.

    Arguments:
        gradient: of :func:`twice_differentiable`.
        parameter: what it was taken by.
        vector: of the same shape.

    Reference:
        Pearlmutter 1994, "Fast exact multiplication by the Hessian".
    """
    (result,) = torch.autograd.grad(
        gradient, parameter, vector, retain_graph=True, allow_unused=True, materialize_grads=True
    )
    return result
