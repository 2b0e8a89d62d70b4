"""How a value in a format begins, by name."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod

import torch

from rankfold._registry import Registry
from rankfold.formats import Format
from rankfold.init._approximate import approximate
from rankfold.init._draw import dense_draw, normal_draw, scaled_to

__all__ = ["INITIALIZERS", "Initializer"]

Build = Callable[[Format, float, torch.Generator | None, bool], Format]


@dataclass(frozen=True, slots=True)
class Initializer:
    """A way to draw a value in a format.

    Arguments:
        name: as in :func:`rankfold.init.initialize`.
        build: from a value of the format, shape and ranks wanted, the deviation of its dense entries, a source of
            random numbers, and whether dense numbers are normal instead of uniform, to a float64 value.
        summary: one sentence.
        source: the papers.
    """

    name: str
    build: Build
    summary: str
    source: str


def _spectral(like: Format, std: float, generator: torch.Generator | None, normal: bool) -> Format:
    dense = dense_draw(like.shape, std, generator, like.device, normal=normal)
    return approximate(like, dense, generator)


def _orthonormal(like: Format, std: float, generator: torch.Generator | None, normal: bool) -> Format:
    return scaled_to(normal_draw(like, std, generator).canonicalize(), std * prod(like.shape) ** 0.5)


def _normal(like: Format, std: float, generator: torch.Generator | None, normal: bool) -> Format:
    return normal_draw(like, std, generator)


INITIALIZERS: Registry[Initializer] = Registry(
    "initializer",
    Initializer(
        name="orthonormal",
        build=_orthonormal,
        summary="random orthonormal bases, and a core of exactly the norm that the dense weight has on average",
        source="Zangrando et al. 2024 (TDLRT keeps bases orthonormal); the norm is a choice of this library",
    ),
    Initializer(
        name="spectral",
        build=_spectral,
        summary="the dense weight as the plain layer draws it, cut to the ranks: the leading part of a usual start",
        source="Khodak, Tenenholtz, Mackey, Fusi 2021, Initialization and regularization of factorized neural layers",
    ),
    Initializer(
        name="normal",
        build=_normal,
        summary="independent normal numbers in every tensor, as wide as gives the dense entries their variance",
        source="Glorot and Bengio 2010, Understanding the difficulty of training deep feedforward neural networks",
    ),
)
