"""Floor 1: how a tensor is written. A matrix U S Vᵀ is Tucker of order 2."""

from rankfold.formats._cp import CP, balanced_outer
from rankfold.formats._shapes import checked_modes, checked_ranks, feasible_ranks, full_ranks
from rankfold.formats._truncation import truncate_cores
from rankfold.formats._tucker import Tucker, pad_core

__all__ = [
    "CP",
    "Tucker",
    "balanced_outer",
    "checked_modes",
    "checked_ranks",
    "feasible_ranks",
    "full_ranks",
    "pad_core",
    "truncate_cores",
]
