"""Factors of elementwise products whose entries neither explode nor start dead."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import erf, isfinite, sqrt
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from rankfold._checks import check_count, check_generator, check_positive
from rankfold._errors import OptionError
from rankfold.init._draw import own_std
from rankfold.layers import hadamard_weights, require_module

__all__ = ["InitializedProduct", "initialize_products", "product_factors"]

Method = Literal["truncated", "variance_matched"]

# The lower bound on the modulus of a product, as far as it could be found: the interval of the paper is not certain.
_SMALLEST = 3e-3


def product_factors(
    shape: Sequence[int],
    depth: int,
    std: float,
    *,
    method: Method = "truncated",
    smallest: float = _SMALLEST,
    generator: torch.Generator | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | str | None = None,
) -> tuple[Tensor, ...]:
    """Draw D tensors for an elementwise product whose entries shall have a given deviation.

    Each factor is normal with deviation ``std^(1/D)``, for the variance of a product of independent numbers is the
    product of their variances. But such a product has a kurtosis of 3^D: most entries are near zero, where all
    gradients vanish. ``'truncated'`` therefore keeps the modulus of every factor in
    ``[smallest^(1/D), (2 std)^(1/D)]``, so that of the product lies in ``[smallest, 2 std]``. That is no longer
    matched: for ``std`` 0.0816 products have deviations of 0.051, 0.040 and 0.034 at D = 2, 3 and 4.

    Arguments:
        shape: of each factor.
        depth: D, 1 or more.
        std: deviation of the products before truncation, over 0.
        method: ``'truncated'`` or ``'variance_matched'``.
        smallest: least modulus of a product, in [0, 2 std); only for ``'truncated'``.
        generator: source of the random numbers; None is torch's global one.
        dtype, device: of the factors; None is torch's default.

    Raises:
        OptionError: an argument out of range.

    Reference:
        Kolb, Weber, Bischl, Rügamer 2025, "Deep weight factorization", algorithm 1.

    Example:
        >>> import torch
        >>> factors = product_factors((500, 500), 2, 0.05, generator=torch.Generator().manual_seed(0))
        >>> product = factors[0] * factors[1]
        >>> round(float(product.abs().min()), 3) >= 0.003, float(product.abs().max()) <= 0.1
        (True, True)
    """
    check_count("product_factors", "depth", depth)
    check_positive("product_factors", "std", std)
    check_generator("product_factors", generator)
    if method not in get_args(Method):
        raise OptionError(
            f"product_factors: method must be one of {', '.join(get_args(Method))}, got {method!r}; choose one."
        )
    if method == "truncated" and not (isfinite(smallest) and 0 <= smallest < 2 * std):
        raise OptionError(
            f"product_factors: smallest must lie in [0, {2 * std:g}), twice the deviation, got {smallest!r}; "
            "pass such a number."
        )
    one, place = std ** (1 / depth), torch.device("cpu") if generator is None else generator.device
    factors = []
    for _ in range(depth):
        if method == "variance_matched":
            work = torch.empty(tuple(shape), dtype=torch.float64, device=place).normal_(
                0, one, generator=generator
            )
        else:
            bounds = (smallest ** (1 / depth) / one, (2 * std) ** (1 / depth) / one)
            work = one * _truncated_normal(shape, bounds, generator, place)
        factors.append(work.to(dtype=dtype or torch.get_default_dtype(), device=device))
    return tuple(factors)


def _truncated_normal(
    shape: Sequence[int], bounds: tuple[float, float], generator: torch.Generator | None, device: torch.device
) -> Tensor:
    """Standard normal numbers of a modulus in the bounds, by inversion of the distribution function."""
    low, high = (erf(bound / sqrt(2)) for bound in bounds)
    drawn = torch.rand((2, *shape), dtype=torch.float64, generator=generator, device=device)
    modulus = sqrt(2) * torch.erfinv(low + (high - low) * drawn[0])
    return modulus.clamp(*bounds) * torch.where(drawn[1] < 0.5, -1.0, 1.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class InitializedProduct:
    """One weight whose factors were drawn.

    Arguments:
        name: of the layer.
        depth: number of factors.
        std: root of the mean square of the products.
    """

    name: str
    depth: int
    std: float


@torch.no_grad()
def initialize_products(
    model: nn.Module,
    method: Method = "truncated",
    *,
    std: float | None = None,
    smallest: float = _SMALLEST,
    rescale: bool = False,
    generator: torch.Generator | None = None,
) -> tuple[InitializedProduct, ...]:
    """Draw the factors of every weight that is an elementwise product anew, in place.

    Arguments:
        model: what :func:`rankfold.regularize.hadamard` converted.
        method, smallest: as of :func:`product_factors`.
        std: as of :func:`product_factors`; None takes that of the plain layer.
        rescale: scale the factors so that the products have exactly ``std``, which moves the bounds along.
        generator: source of the random numbers; None is torch's global one.

    Returns:
        One row per weight.

    Raises:
        OptionError: an argument out of range, or no such weight.

    Example:
        >>> from torch import nn
        >>> from rankfold.regularize import hadamard
        >>> model = nn.Sequential(nn.Linear(300, 100))
        >>> _ = hadamard(model, depth=3)
        >>> [(row.name, row.depth) for row in initialize_products(model)]
        [('0', 3)]
    """
    require_module(model, "initialize_products")
    check_positive("initialize_products", "std", std, none=True)
    weights = list(hadamard_weights(model))
    if not weights:
        raise OptionError(
            "initialize_products: no weight of the model is an elementwise product; call "
            "rankfold.regularize.hadamard(model) first."
        )
    rows = []
    for name, layer, factors in weights:
        wanted = own_std(layer) if std is None else float(std)
        drawn = product_factors(
            factors[0].shape,
            len(factors),
            wanted,
            method=method,
            smallest=smallest,
            generator=generator,
            dtype=torch.float64,
        )
        reached = float(torch.stack(drawn).prod(0).square().mean().sqrt())
        scale = (wanted / reached) ** (1 / len(drawn)) if rescale else 1.0
        for factor, value in zip(factors, drawn, strict=True):
            factor.copy_(value * scale)
        rows.append(InitializedProduct(name=name, depth=len(factors), std=wanted if rescale else reached))
    return tuple(rows)
