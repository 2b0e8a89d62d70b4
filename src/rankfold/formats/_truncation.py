"""Truncation of many cores at once, to ranks that fit together and in HOSVD form."""

from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from rankfold.formats._shapes import feasible_ranks
from rankfold.linalg import HOSVD, truncated_hosvd

__all__ = ["truncate_cores"]


def truncate_cores(
    cores: Sequence[Tensor],
    modes: Sequence[tuple[int, ...]],
    *,
    tolerance: float | None = None,
    ranks: Sequence[tuple[int, ...]] | None = None,
    min_rank: int = 1,
    max_ranks: Sequence[tuple[int, ...]] | None = None,
    quantum: int = 1,
    rotate: bool = True,
) -> list[HOSVD]:
    """Truncate the cores of Tucker tensors with orthonormal factors, each relative to its own norm.

    Arguments:
        cores: the cores; equal shapes are factorised in one batch.
        modes: for each core its factorised modes.
        tolerance: relative error of each over all its modes, in [0, 1); None with no ranks only rotates.
        ranks: instead, for each core the rank of each factorised mode.
        min_rank: with a tolerance, the smallest rank of a mode, as far as its shape has so many.
        max_ranks: with a tolerance, for each core the largest rank of each factorised mode.
        quantum: with a tolerance, ranks are rounded up to its multiples where a mode has so many.
        rotate: make the new cores all-orthogonal, at the price of a second, smaller HOSVD.

    Returns:
        One :class:`rankfold.linalg.HOSVD` per core, whose bases P_i turn the factors into ``U_i P_i``. No rank
        exceeds the product of the others.

    Raises:
        NonFiniteError: a core holds NaN or infinity.
        RankError: a rank outside 1..r_i.
    """
    results = truncated_hosvd(
        cores,
        modes,
        tolerance=tolerance,
        ranks=ranks,
        min_rank=min_rank,
        max_ranks=max_ranks,
        quantum=quantum,
    )
    # Cutting one mode leaves the rows of the others not quite orthogonal, or more of them than their unfolding
    # has rank; a second pass over the small cores makes each all-orthogonal again, at no loss.
    cut = [
        index
        for index, (core, result) in enumerate(zip(cores, results, strict=True))
        if result.core.shape != core.shape
        and result.core.numel() > 1
        and (rotate or not _feasible(result.core, modes[index]))
    ]
    again = truncated_hosvd(
        [results[index].core for index in cut],
        [modes[index] for index in cut],
        ranks=[feasible_ranks(results[index].core.shape, modes[index]) for index in cut],
    )
    for index, second in zip(cut, again, strict=True):
        first = results[index]
        bases = {mode: first.bases[mode] @ second.bases[mode] for mode in first.bases}
        results[index] = replace(first, core=second.core, bases=bases)
    return results


def _feasible(core: Tensor, modes: tuple[int, ...]) -> bool:
    return feasible_ranks(core.shape, modes) == tuple(core.shape[mode] for mode in modes)
