"""In which order the cores of a TT-matrix meet an input, by multiplications.

Sets of cores are whole numbers whose bit k stands for core k.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Literal

__all__ = ["Contraction", "Group", "cores_of", "plan_contraction"]

#: A core by its number, or two neighbouring groups that are multiplied first.
Group = int | tuple["Group", "Group"]

# Number of cores up to which every order is tried; longer trains go from one end to the other, or there would be
# 2^cores sets to look at.
_MOST_CORES = 8


@dataclass(frozen=True, slots=True)
class Contraction:
    """A way to multiply rows by a TT-matrix.

    Arguments:
        groups: in the order in which they are multiplied into the input. A core stands for itself, a pair for two
            neighbouring groups that are multiplied with each other first.
        flops: multiplications and additions, two for each term of a sum.
        bytes: what the products read and write, each tensor counted once per product.
    """

    groups: tuple[Group, ...]
    flops: int
    bytes: int


def plan_contraction(
    out_sizes: Sequence[int],
    in_sizes: Sequence[int],
    ranks: Sequence[int],
    rows: int,
    *,
    execution: Literal["chain", "dense"] | None = None,
    kept: bool = False,
    element_size: int = 4,
) -> Contraction:
    """The contraction of least operations: which cores are multiplied with each other first, and in what order.

    All orders are tried up to 8 cores, sweeps from the ends beyond that. No Kronecker product is ever formed.

    Arguments:
        out_sizes: factors o_k of the number of rows of the matrix.
        in_sizes: factors i_k of the number of its columns.
        ranks: the bonds r_1..r_{d-1}.
        rows: number of inputs.
        execution: ``'chain'`` multiplies no cores with each other, ``'dense'`` multiplies out the matrix; None
            chooses among all there are between the two.
        kept: count the products of cores with each other as made already, as between two calls with the same cores.
        element_size: bytes per number.

    Returns:
        A :class:`Contraction`.

    Reference:
        Pfeifer, Haegeman and Verstraete 2014, "Faster identification of optimal contraction sequences for tensor
        networks": the best way to a set of cores goes over the best way to a part of it.

    Example:
        >>> sizes, rank = (16, 16, 16), (8, 8)
        >>> chain, dense = (
        ...     plan_contraction(sizes, sizes, rank, 512, execution=way) for way in ("chain", "dense")
        ... )
        >>> round(chain.flops / dense.flops, 2), plan_contraction(sizes, sizes, (2, 2), 512).groups
        (0.31, (0, 1, 2))
    """
    return _planned(tuple(out_sizes), tuple(in_sizes), (1, *ranks, 1), rows, execution, kept, element_size)


def cores_of(group: Group) -> tuple[int, int]:
    """First and last core of a group."""
    if isinstance(group, int):
        return group, group
    return cores_of(group[0])[0], cores_of(group[1])[1]


@lru_cache(maxsize=1024)
def _planned(
    out_sizes: tuple[int, ...],
    in_sizes: tuple[int, ...],
    bonds: tuple[int, ...],
    rows: int,
    execution: Literal["chain", "dense"] | None,
    kept: bool,
    element_size: int,
) -> Contraction:
    count = len(out_sizes)
    whole = (1 << count) - 1

    def size(done: int, *further: int) -> int:
        """Numbers held once the cores of a set were multiplied in, with further bonds open."""
        cores = (out_sizes[k] if done >> k & 1 else in_sizes[k] for k in range(count))
        cut = {k for k in range(1, count) if (done >> k & 1) != (done >> (k - 1) & 1)}
        return rows * prod(cores) * prod(bonds[k] for k in cut.union(further))

    merged = _merged(out_sizes, in_sizes, bonds)
    allowed = range(whole + 1) if count <= _MOST_CORES else sorted({*_sweeps(count)})
    reachable = set(allowed)
    best: dict[int, tuple[int, int, tuple[Group, ...]]] = {0: (0, 0, ())}
    for done in allowed:
        if done not in best:
            continue
        flops, moved, groups = best[done]
        for (first, last), group in merged.items():
            if execution is not None and (last - first) != (0 if execution == "chain" else count - 1):
                continue
            own = (1 << (last + 1)) - (1 << first)
            if done & own or done | own not in reachable:
                continue
            core = group.numbers
            # Every term of the sums has an index of each bond that is open before or after, and of both sides of the
            # cores that come in.
            terms = size(done, first, last + 1) * prod(out_sizes[first : last + 1])
            cost = (
                flops + 2 * terms + (0 if kept else group.flops),
                moved + size(done) + size(done | own) + core + (0 if kept else group.moved),
            )
            if done | own not in best or cost < best[done | own][:2]:
                best[done | own] = (*cost, (*groups, group.group))
    flops, moved, groups = best[whole]
    return Contraction(groups, flops, element_size * moved)


@dataclass(frozen=True, slots=True)
class _Merged:
    """Neighbouring cores multiplied with each other: how, at what cost, and how many numbers that makes."""

    group: Group
    flops: int
    moved: int
    numbers: int


def _merged(
    out_sizes: tuple[int, ...], in_sizes: tuple[int, ...], bonds: tuple[int, ...]
) -> dict[tuple[int, int], _Merged]:
    """The cheapest product of every run of neighbouring cores, by its first and last one."""
    pairs = [o * i for o, i in zip(out_sizes, in_sizes, strict=True)]
    merged: dict[tuple[int, int], _Merged] = {}
    for length in range(1, len(pairs) + 1):
        for first in range(len(pairs) - length + 1):
            last = first + length - 1
            numbers = bonds[first] * prod(pairs[first : last + 1]) * bonds[last + 1]
            if length == 1:
                merged[first, last] = _Merged(first, 0, 0, numbers)
                continue
            ways = []
            for middle in range(first, last):
                left, right = merged[first, middle], merged[middle + 1, last]
                flops = left.flops + right.flops + 2 * numbers * bonds[middle + 1]
                moved = left.moved + right.moved + left.numbers + right.numbers + numbers
                ways.append(_Merged((left.group, right.group), flops, moved, numbers))
            merged[first, last] = min(ways, key=lambda way: (way.flops, way.moved))
    return merged


def _sweeps(count: int) -> Iterator[int]:
    """Sets of cores that are met from the first on, or from the last on."""
    for done in range(count + 1):
        yield (1 << done) - 1
        yield ((1 << count) - 1) ^ ((1 << done) - 1)
