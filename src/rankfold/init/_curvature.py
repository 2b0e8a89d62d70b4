"""How curved a loss is in the weight of each layer."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
from torch import Tensor

from rankfold.linalg import hessian_product, power_iteration, twice_differentiable

__all__ = ["hessian_norms"]


def hessian_norms(
    loss: Callable[[], Tensor],
    parameters: Sequence[Tensor],
    *,
    iterations: int = 30,
    generator: torch.Generator | None = None,
) -> list[float]:
    """Spectral norms of the diagonal blocks of a Hessian, by power iteration on products with it.

    Arguments:
        loss: computes the loss anew, from the same data and without random numbers.
        parameters: one block each.
        iterations: of each power iteration; every one is a backward pass.
        generator: source of the starts; None is torch's global one.

    Returns:
        One number per parameter, NaN where a product is not finite; 0 where the gradient does not depend on it.

    Reference:
        Pearlmutter 1994, "Fast exact multiplication by the Hessian".
    """
    listed = list(parameters)
    _, gradients = twice_differentiable(loss, listed)
    norms = []
    for parameter, gradient in zip(listed, gradients, strict=True):
        if gradient is None or not gradient.requires_grad:
            norms.append(0.0)
            continue
        place = parameter.device if generator is None else generator.device
        start = torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype, device=place)
        product = partial(hessian_product, gradient, parameter)
        norms.append(power_iteration(product, start.to(parameter.device), iterations=iterations))
    return norms
