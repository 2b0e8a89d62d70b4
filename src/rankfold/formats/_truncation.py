"""Truncation of many Tucker tensors with orthonormal factors at once: the core decides, the factors follow."""

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from rankfold.formats._shapes import feasible_ranks
from rankfold.formats._tucker import Tucker
from rankfold.linalg import truncated_hosvd

__all__ = ["Truncation", "truncate_orthonormal"]


@dataclass(frozen=True, slots=True, eq=False)
class Truncation:
    """What truncation did to one tensor.

    Arguments:
        tucker: the truncated tensor, in HOSVD form.
        rotations: for each factorised mode the P_i (r_i x k_i) with ``new factor = U_i P_i``.
        error: Frobenius norm of what was cut, a scalar tensor.
        demanded: for each factorised mode the rank that the tolerance alone asks for.
    """

    tucker: Tucker
    rotations: dict[int, Tensor]
    error: Tensor
    demanded: dict[int, int]


def truncate_orthonormal(
    tuckers: Sequence[Tucker],
    *,
    tolerance: float | None = None,
    ranks: Sequence[tuple[int, ...]] | None = None,
    min_rank: int = 1,
    max_ranks: Sequence[tuple[int, ...]] | None = None,
) -> list[Truncation]:
    """Truncate tensors whose factors are orthonormal (not checked), each relative to its own norm.

    Arguments:
        tuckers: the tensors; equal core shapes are factorised in one batch.
        tolerance: relative error of each over all its modes, in [0, 1); None with no ranks only rotates.
        ranks: instead, for each tensor the rank of each factorised mode.
        min_rank: with a tolerance, the smallest rank of a mode, as far as its shape has so many.
        max_ranks: with a tolerance, for each tensor the largest rank of each factorised mode.

    Returns:
        One :class:`Truncation` per tensor. No rank exceeds the product of the others.

    Raises:
        NonFiniteError: a core holds NaN or infinity.
        RankError: a rank outside 1..r_i, or above the product of the others.
    """
    results = truncated_hosvd(
        [tucker.core for tucker in tuckers],
        [tucker.modes for tucker in tuckers],
        tolerance=tolerance,
        ranks=ranks,
        min_rank=min_rank,
        max_ranks=max_ranks,
    )
    # Cutting one mode leaves the rows of the others not quite orthogonal, or more of them than their unfolding
    # has rank; a second pass over the small cores makes each all-orthogonal again, at no loss.
    cut = [
        index
        for index, (tucker, result) in enumerate(zip(tuckers, results, strict=True))
        if result.core.shape != tucker.core.shape and result.core.numel() > 1
    ]
    again = truncated_hosvd(
        [results[index].core for index in cut],
        [tuckers[index].modes for index in cut],
        ranks=[feasible_ranks(results[index].core.shape, tuckers[index].modes) for index in cut],
    )
    second = dict(zip(cut, again, strict=True))
    truncations = []
    for index, (tucker, result) in enumerate(zip(tuckers, results, strict=True)):
        core, rotations = result.core, result.bases
        if index in second:
            core = second[index].core
            rotations = {mode: rotations[mode] @ second[index].bases[mode] for mode in rotations}
        truncations.append(
            Truncation(tucker.project(core, rotations), rotations, result.error, result.demanded)
        )
    return truncations
