"""How strongly the loss curves along the parameters of each layer."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import torch
from torch import Tensor, nn

from rankfold._checks import check_count, check_generator
from rankfold._errors import NonFiniteError, OptionError
from rankfold.layers import require_module
from rankfold.linalg import hessian_product, power_iteration, twice_differentiable

__all__ = ["hessian_norms"]


def hessian_norms(
    loss: Callable[[], Tensor],
    model: nn.Module,
    *,
    kind: Literal["spectral", "frobenius"] = "spectral",
    iterations: int = 30,
    generator: torch.Generator | None = None,
) -> dict[str, float]:
    """The norm of the block of the Hessian that belongs to each parameter tensor.

    Only products of the Hessian with vectors are formed. The spectral norm is found by power iteration: from below, and
    slowly where two eigenvalues are nearly opposite. The Frobenius norm is estimated from random signs, unbiased in its
    square, with an error of about ``sqrt(2 / iterations)``. In factorised layers the blocks of core and factors show at
    once whether they are out of balance.

    Arguments:
        loss: evaluates the loss of one batch, without ``backward``; twice differentiable, and the same at every call.
        model: its parameters that require gradients are looked at.
        kind: ``'spectral'`` or ``'frobenius'``.
        iterations: of the power iteration, or number of random vectors.
        generator: source of random numbers; None is torch's global one.

    Returns:
        The norm by the name of the parameter; 0 where the loss is linear in it.

    Raises:
        OptionError: an unknown kind, no iteration, or nothing to differentiate.
        NonFiniteError: the loss or a product is NaN or infinite; names the parameter.

    Reference:
        Skorski, Temperoni and Theobald 2021, "Revisiting weight initialization of deep neural networks"; Pearlmutter
        1994, "Fast exact multiplication by the Hessian"; Hutchinson 1990, "A stochastic estimator of the trace".

    Example:
        >>> model = nn.Linear(2, 1, bias=False).double()
        >>> x = torch.tensor([[3.0, 4.0]], dtype=torch.float64)
        >>> hessian_norms(lambda: model(x).square().sum() / 2, model)  # the Hessian is x x^T
        {'weight': 25.0}
    """
    require_module(model, "hessian_norms")
    if kind not in ("spectral", "frobenius"):
        raise OptionError(
            f"hessian_norms: kind is {kind!r}, known are 'spectral' and 'frobenius'; choose one."
        )
    check_count("hessian_norms", "iterations", iterations)
    check_generator("hessian_norms", generator)
    named = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    if not named:
        raise OptionError("hessian_norms: no parameter of the model requires a gradient; unfreeze some.")
    _, gradients = twice_differentiable(lambda: _checked(loss), list(named.values()))
    measure = _spectral if kind == "spectral" else _frobenius
    found = {}
    for (name, parameter), gradient in zip(named.items(), gradients, strict=True):
        if gradient is None or not gradient.requires_grad:
            found[name] = 0.0
            continue
        found[name] = measure(gradient, parameter, iterations, generator)
        if found[name] != found[name] or found[name] == float("inf"):
            raise NonFiniteError(
                f"hessian_norms: the Hessian of {name!r} holds NaN or infinity; look at an earlier state."
            )
    return found


def _checked(loss: Callable[[], Tensor]) -> Tensor:
    value = loss() if callable(loss) else loss
    if not isinstance(value, Tensor) or value.numel() != 1 or not value.requires_grad:
        raise OptionError(
            "hessian_norms: loss must be a function that gives a scalar which depends on the parameters; pass one "
            "that evaluates the model anew."
        )
    if not bool(value.isfinite()):
        raise NonFiniteError(f"hessian_norms: the loss is {value.item()}; look at an earlier state.")
    return value


def _spectral(
    gradient: Tensor, parameter: Tensor, iterations: int, generator: torch.Generator | None
) -> float:
    start = _drawn(torch.randn, parameter.shape, parameter, generator)
    return power_iteration(partial(hessian_product, gradient, parameter), start, iterations=iterations)


def _frobenius(gradient: Tensor, parameter: Tensor, samples: int, generator: torch.Generator | None) -> float:
    total = 0.0
    for _ in range(samples):
        signs = _drawn(torch.rand, parameter.shape, parameter, generator).sub(0.5).sign()
        total += float(hessian_product(gradient, parameter, signs).double().square().sum())
    return (total / samples) ** 0.5


def _drawn(
    source: Callable[..., Tensor], shape: Sequence[int], like: Tensor, generator: torch.Generator | None
) -> Tensor:
    device = like.device if generator is None else generator.device
    return source(tuple(shape), generator=generator, device=device, dtype=torch.float64).to(like)
