"""Which Tucker ranks a shape allows."""

from collections.abc import Iterable, Sequence
from math import prod
from numbers import Integral

from rankfold._errors import RankError, ShapeError

__all__ = ["checked_modes", "checked_ranks", "feasible_ranks", "full_ranks"]


def full_ranks(shape: Sequence[int], modes: Sequence[int]) -> tuple[int, ...]:
    """Largest multilinear rank that a generic tensor of this shape has in each of the modes.

    Arguments:
        shape: dimensions n_1..n_d.
        modes: the modes asked about.

    Returns:
        ``min(n_i, prod_{j != i} n_j)`` for each mode.

    Example:
        >>> full_ranks((50, 20, 2, 2), (0, 1)), full_ranks((100, 3), (0, 1))
        ((50, 20), (3, 3))
    """
    total = prod(shape)
    return tuple(min(shape[mode], max(total // max(shape[mode], 1), 1)) for mode in modes)


def feasible_ranks(core_shape: Sequence[int], modes: Sequence[int]) -> tuple[int, ...]:
    """Lower the ranks of a core until no mode exceeds the product of the others; nothing is lost by it.

    Arguments:
        core_shape: ranks of the factorised modes, dimensions of the others.
        modes: the modes whose rank may be lowered.

    Returns:
        One rank per mode of ``modes``.

    Example:
        >>> feasible_ranks((8, 2, 3), (0, 1, 2))
        (6, 2, 3)
    """
    ranks = list(core_shape)
    changed = True
    while changed:
        changed = False
        for mode in modes:
            bound = max(prod(ranks) // max(ranks[mode], 1), 1)
            if ranks[mode] > bound:
                ranks[mode], changed = bound, True
    return tuple(ranks[mode] for mode in modes)


def checked_modes(where: str, modes: Sequence[int] | None, order: int) -> tuple[int, ...]:
    """Sorted distinct modes in 0..order-1, all of them for None.

    Raises:
        ShapeError: a mode out of range, named twice, or none at all.
    """
    if modes is None:
        return tuple(range(order))
    chosen = tuple(modes) if isinstance(modes, Iterable) else ()
    if not chosen or any(mode not in range(order) for mode in chosen) or len(set(chosen)) != len(chosen):
        got = chosen if isinstance(modes, Iterable) else repr(modes)
        raise ShapeError(
            f"{where}: modes must be distinct numbers in 0..{order - 1}, at least one, got {got}; pass such."
        )
    return tuple(sorted(chosen))


def checked_ranks(
    where: str, ranks: int | Sequence[int], shape: Sequence[int], modes: Sequence[int]
) -> tuple[int, ...]:
    """One rank per mode, each from 1 to what the shape allows; one number stands for all modes.

    A single number is lowered for the modes that allow less, but must be possible for one of them.

    Raises:
        RankError: wrong number of ranks, or a rank out of range.
    """
    bounds = full_ranks(shape, modes)
    if isinstance(ranks, Integral):
        if isinstance(ranks, bool) or not 1 <= int(ranks) <= max(bounds):
            raise RankError(
                f"{where}: the rank must lie in 1..{max(bounds)} for a tensor of shape {tuple(shape)} factorised "
                f"along modes {tuple(modes)}, got {ranks}; pass a rank in range."
            )
        return tuple(min(int(ranks), bound) for bound in bounds)
    given = list(ranks) if isinstance(ranks, Sequence) else []
    whole = all(isinstance(rank, Integral) and not isinstance(rank, bool) for rank in given)
    if (
        not whole
        or len(given) != len(modes)
        or any(not 1 <= r <= b for r, b in zip(given, bounds, strict=True))
    ):
        raise RankError(
            f"{where}: got ranks {ranks} for a tensor of shape {tuple(shape)} factorised along modes "
            f"{tuple(modes)}; pass one rank per mode, at most {bounds}."
        )
    return tuple(int(rank) for rank in given)
