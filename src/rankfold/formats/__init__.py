"""Floor 1: how a tensor is written. A matrix U S Vᵀ is Tucker of order 2."""

from rankfold.formats._cp import CP
from rankfold.formats._format import Format
from rankfold.formats._match import factor_match_score
from rankfold.formats._outer import balanced_outer
from rankfold.formats._shapes import checked_modes, checked_ranks, feasible_ranks, full_ranks
from rankfold.formats._truncation import truncate_cores
from rankfold.formats._tt import TT
from rankfold.formats._tucker import Tucker, pad_core

__all__ = [
    "CP",
    "TT",
    "Format",
    "Tucker",
    "balanced_outer",
    "checked_modes",
    "checked_ranks",
    "factor_match_score",
    "feasible_ranks",
    "full_ranks",
    "pad_core",
    "truncate_cores",
]
