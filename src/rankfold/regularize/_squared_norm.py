"""Half the squared Frobenius norm of a tensor in a format, and its gradients in the stored tensors.

The gradient of ``||W||² / 2`` in one stored tensor is that tensor times the Gram matrices of everything it is
multiplied with, so nothing of the size of the dense tensor is formed. Gram matrices are in float64.

Axes: n_i dimensions, r ranks, R components.
"""

from collections.abc import Sequence
from functools import singledispatch
from typing import Any

from torch import Tensor

from rankfold._errors import OptionError
from rankfold.formats import CP, TT, Format, TTMatrix, Tucker
from rankfold.linalg import mode_inner, mode_products, spectrum_dtype

__all__ = ["half_squared_norm", "half_squared_norm_gradients"]


def half_squared_norm(value: Format) -> Tensor:
    """``||W||² / 2`` without forming W; differentiable, also where W is zero.

    Arguments:
        value: in any format.

    Returns:
        A scalar tensor of the value's dtype.

    Example:
        >>> import torch
        >>> half_squared_norm(CP(torch.ones(1), (torch.ones(3, 1), torch.ones(4, 1))))
        tensor(6.)
    """
    return 0.5 * value.inner(value)


@singledispatch
def half_squared_norm_gradients(value: Any) -> list[Tensor]:
    """Gradients of :func:`half_squared_norm` in closed form, one per tensor of the value.

    Arguments:
        value: in any format; not differentiated.

    Raises:
        OptionError: no format that is known here.

    Example:
        >>> import torch
        >>> value = Tucker(torch.ones(1, 1), (torch.ones(3, 1), torch.ones(4, 1)))
        >>> [gradient.flatten() for gradient in half_squared_norm_gradients(value)][:2]
        [tensor([12.]), tensor([4., 4., 4.])]
    """
    raise OptionError(
        f"half_squared_norm_gradients: got a {type(value).__name__}; pass a value in a format, such as Tucker."
    )


@half_squared_norm_gradients.register
def _(value: Tucker) -> list[Tensor]:
    """``C x_i U_iᵀU_i`` for the core, and ``U_i Mat_i(C) Mat_i(C x_j U_jᵀU_j, j != i)ᵀ`` for a factor."""
    core = value.core.detach().to(spectrum_dtype(value.core))
    factors = {
        mode: f.detach().to(core.dtype) for mode in value.modes if (f := value.factors[mode]) is not None
    }
    grams = {mode: factor.mT @ factor for mode, factor in factors.items()}
    result = [mode_products(core, grams)]
    for mode, factor in factors.items():
        others = {other: gram for other, gram in grams.items() if other != mode}
        result.append(factor @ mode_inner(core, mode_products(core, others), mode))
    return [gradient.to(value.dtype) for gradient in result]


@half_squared_norm_gradients.register
def _(value: CP) -> list[Tensor]:
    """``A_i (w wᵀ ∘ G_j, j != i)`` for a factor with the Gram matrices G of the others, and ``(∘ G_j) w``."""
    weights, *factors = (tensor.detach().to(spectrum_dtype(tensor)) for tensor in value.tensors)
    grams = [factor.mT @ factor for factor in factors]
    result = [_product(grams) @ weights]
    outer = weights.outer(weights)
    for mode, factor in enumerate(factors):
        result.append(factor @ _product([outer, *grams[:mode], *grams[mode + 1 :]]))
    return [gradient.to(value.dtype) for gradient in result]


@half_squared_norm_gradients.register
def _(value: TT) -> list[Tensor]:
    """``L_k G_k R_k`` with the Gram matrices of the train before and after core k."""
    cores = [core.detach().to(spectrum_dtype(core)) for core in value.cores]
    before, after = [cores[0].new_ones(1, 1)], [cores[0].new_ones(1, 1)]
    for core in cores[:-1]:
        wide = (before[-1] @ core.flatten(1)).view_as(core)
        before.append(wide.flatten(0, 1).mT @ core.flatten(0, 1))
    for core in reversed(cores[1:]):
        after.append(core.flatten(1) @ (core @ after[-1]).flatten(1).mT)
    result = [
        ((left @ core.flatten(1)).view_as(core) @ right).to(value.dtype)
        for core, left, right in zip(cores, before, reversed(after), strict=True)
    ]
    return result


@half_squared_norm_gradients.register
def _(value: TTMatrix) -> list[Tensor]:
    """Those of the train whose modes are the pairs of factors: it has the same entries in another order."""
    train = TT(tuple(core.flatten(1, 2) for core in value.cores))
    gradients = half_squared_norm_gradients(train)
    return [gradient.view_as(core) for gradient, core in zip(gradients, value.cores, strict=True)]


def _product(matrices: Sequence[Tensor]) -> Tensor:
    result = matrices[0]
    for matrix in matrices[1:]:
        result = result * matrix
    return result
