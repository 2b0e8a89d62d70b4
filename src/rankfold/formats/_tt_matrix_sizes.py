"""Sizes of TT-matrices: how features split into factors, and how large bonds and cores can be."""

from collections.abc import Sequence
from functools import cache, lru_cache
from itertools import pairwise
from math import isqrt, prod
from numbers import Integral

from rankfold._errors import OptionError, ShapeError

__all__ = ["check_sizes", "core_shapes", "full_bonds", "plan_modes"]


def plan_modes(n: int, cores: int) -> tuple[int, ...]:
    """Split a number of features into factors as equal as its divisors allow.

    Arguments:
        n: the number of features, 1 or more.
        cores: the number of factors, 1 or more.

    Returns:
        ``cores`` numbers whose product is n, of least sum and then of least largest number; the largest comes first.
        A prime gives itself and ones.

    Raises:
        OptionError: a number that is not whole, or below 1.

    Example:
        >>> plan_modes(768, 5), plan_modes(3072, 5), plan_modes(10, 3)
        ((4, 4, 4, 4, 3), (8, 6, 4, 4, 4), (5, 2, 1))
    """
    for name, number in (("n", n), ("cores", cores)):
        if not isinstance(number, Integral) or isinstance(number, bool) or number < 1:
            raise OptionError(f"plan_modes: {name} must be a whole number from 1, got {number!r}; pass one.")
    return _planned(int(n), int(cores))


@lru_cache(maxsize=256)
def _planned(n: int, cores: int) -> tuple[int, ...]:
    below = [number for number in range(1, isqrt(n) + 1) if n % number == 0]
    divisors = sorted({*below, *(n // number for number in below)}, reverse=True)

    @cache
    def best(rest: int, count: int, largest: int) -> tuple[int, ...] | None:
        """The factors of ``rest``, none above ``largest``, in falling order; None where there are none."""
        if count == 1:
            return (rest,) if rest <= largest else None
        found = [
            (number, *others)
            for number in divisors
            if number <= largest
            and rest % number == 0
            and number**count >= rest  # or the largest was another
            if (others := best(rest // number, count - 1, number)) is not None
        ]
        return min(found, key=lambda factors: (sum(factors), factors), default=None)

    factors = best(n, min(cores, n.bit_length()), n)  # a number has no more factors above 1 than bits
    assert factors is not None
    return (*factors, *[1] * (cores - len(factors)))


def check_sizes(
    where: str, out_sizes: Sequence[int], in_sizes: Sequence[int]
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The factors of rows and columns as tuples.

    Raises:
        ShapeError: not two or more whole numbers from 1 on each side, as many on one as on the other.
    """
    sides = tuple(tuple(side) if isinstance(side, Sequence) else () for side in (out_sizes, in_sizes))
    whole = all(
        isinstance(size, Integral) and not isinstance(size, bool) and size >= 1
        for side in sides
        for size in side
    )
    if not whole or len(sides[0]) != len(sides[1]) or len(sides[0]) < 2:
        raise ShapeError(
            f"{where}: got the sizes {out_sizes} and {in_sizes}; pass two or more whole numbers from 1 for the rows "
            "and as many for the columns, such as those of plan_modes."
        )
    out, inner = (tuple(map(int, side)) for side in sides)
    return out, inner


def full_bonds(out_sizes: Sequence[int], in_sizes: Sequence[int]) -> tuple[int, ...]:
    """Largest bonds that a generic matrix has as a TT-matrix.

    Arguments:
        out_sizes: factors o_k of the number of rows.
        in_sizes: factors i_k of the number of columns, as many.

    Returns:
        ``min(prod_{m <= k} o_m i_m, prod_{m > k} o_m i_m)`` for each bond.

    Reference:
        Oseledets 2011, "Tensor-train decomposition".

    Example:
        >>> full_bonds((4, 4, 4, 4, 3), (4, 4, 4, 4, 3))
        (16, 256, 144, 9)
    """
    pairs = [o * i for o, i in zip(out_sizes, in_sizes, strict=True)]
    return tuple(min(prod(pairs[:k]), prod(pairs[k:])) for k in range(1, len(pairs)))


def core_shapes(
    out_sizes: Sequence[int], in_sizes: Sequence[int], ranks: Sequence[int]
) -> list[tuple[int, int, int, int]]:
    """Shapes of the cores ``(r_{k-1}, o_k, i_k, r_k)``.

    Example:
        >>> [shape[0] * shape[1] * shape[2] * shape[3] for shape in core_shapes((4, 3), (4, 3), (9,))]
        [144, 81]
    """
    bonds = pairwise((1, *ranks, 1))
    return [(left, o, i, right) for (left, right), o, i in zip(bonds, out_sizes, in_sizes, strict=True)]
