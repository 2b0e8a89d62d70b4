"""Weights that are elementwise products of several tensors, as a parametrisation of torch."""

from collections.abc import Iterator
from typing import Any

from torch import Tensor, nn
from torch.nn.utils import parametrize

from rankfold._errors import OptionError, ShapeError
from rankfold.layers._require import require_module

__all__ = ["HadamardWeight", "hadamard_weights"]


class HadamardWeight(nn.Module):
    """Parametrisation ``W = W_1 ∘ ... ∘ W_D``; :func:`rankfold.regularize.hadamard` registers it.

    The factors are parameters, ``layer.parametrizations.weight.original0`` and so on. A tensor assigned to
    ``layer.weight`` is split into factors of equal modulus, of which the first has its signs.

    Arguments:
        depth: number D of factors, 2 or more.

    Raises:
        OptionError: another depth.

    Reference:
        Kolb, Weber, Bischl, Rügamer 2025, "Deep weight factorization".

    Example:
        >>> import torch
        >>> HadamardWeight(3).right_inverse(torch.tensor([[-8.0, 0.0]]))
        (tensor([[-2.,  0.]]), tensor([[2., 0.]]), tensor([[2., 0.]]))
    """

    def __init__(self, depth: int) -> None:
        super().__init__()
        if isinstance(depth, bool) or not isinstance(depth, int) or depth < 2:
            raise OptionError(
                f"HadamardWeight: depth must be a whole number of 2 or more, got {depth!r}; pass such a number."
            )
        self.depth = depth

    def forward(self, *factors: Tensor) -> Tensor:
        """The weight."""
        result = factors[0]
        for factor in factors[1:]:
            result = result * factor
        return result

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, ...]:
        """Factors of equal modulus whose product is the weight."""
        if not weight.is_floating_point():
            raise ShapeError(
                f"HadamardWeight: got a weight of dtype {weight.dtype}; only floating-point weights have such factors."
            )
        root = weight.abs() ** (1 / self.depth)
        return (root.copysign(weight), *(root.clone() for _ in range(self.depth - 1)))

    def extra_repr(self) -> str:
        """What the printed module tells."""
        return f"depth={self.depth}"


def hadamard_weights(model: nn.Module) -> Iterator[tuple[str, nn.Module, tuple[Tensor, ...]]]:
    """Name, layer and factors of every weight of a model that is an elementwise product.

    Arguments:
        model: any module.

    Example:
        >>> import torch
        >>> from rankfold.regularize import hadamard
        >>> model = nn.Sequential(nn.Linear(3, 2))
        >>> _ = hadamard(model, depth=2)
        >>> [(name, len(factors)) for name, layer, factors in hadamard_weights(model)]
        [('0', 2)]
    """
    require_module(model, "hadamard_weights")
    for name, module in model.named_modules():
        if parametrize.is_parametrized(module, "weight"):
            parametrizations: Any = module.parametrizations
            listed = parametrizations["weight"]
            if isinstance(listed[0], HadamardWeight):
                factors = tuple(getattr(listed, f"original{number}") for number in range(listed[0].depth))
                yield name, module, factors
