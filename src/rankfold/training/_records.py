"""What is written down about a truncation."""

from dataclasses import dataclass

__all__ = ["RankRecord"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RankRecord:
    """One truncation of one layer.

    Arguments:
        step: optimiser step after which it happened, from 1.
        layer: name of the layer.
        ranks_before: core dimensions at the start of the cycle, before augmentation.
        ranks: core dimensions now.
        truncation_error: Frobenius norm of what was cut, relative to the norm of the weight.
        orthonormality_defect: largest ``|UᵀU - I|`` over the factors.
        rank_capped: the tolerance asked for more than there was: nothing was cut from a widened mode that has
            room beyond, or ``max_rank`` cut deeper than the tolerance.
    """

    step: int
    layer: str
    ranks_before: tuple[int, ...]
    ranks: tuple[int, ...]
    truncation_error: float
    orthonormality_defect: float
    rank_capped: bool
