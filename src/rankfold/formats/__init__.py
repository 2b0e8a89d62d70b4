"""Floor 1: how a tensor is written. A matrix U S Vᵀ is Tucker of order 2."""

from rankfold.formats._checks import ranks_within
from rankfold.formats._cp import CP
from rankfold.formats._format import Format
from rankfold.formats._match import factor_match_score
from rankfold.formats._outer import balanced_outer
from rankfold.formats._shapes import checked_modes, checked_ranks, feasible_ranks, full_ranks
from rankfold.formats._together import cut_together, parameters_at, within_budget
from rankfold.formats._truncation import truncate_cores
from rankfold.formats._tt import TT
from rankfold.formats._tt_matrix import TTMatrix
from rankfold.formats._tt_matrix_contract import contracted, contracted_parts, merged_core
from rankfold.formats._tt_matrix_plan import Contraction, Group, cores_of, plan_contraction
from rankfold.formats._tt_matrix_sizes import check_sizes, core_shapes, full_bonds, plan_modes
from rankfold.formats._tt_refine import haar_isometry
from rankfold.formats._tucker import Tucker, pad_core

__all__ = [
    "CP",
    "TT",
    "Contraction",
    "Format",
    "Group",
    "TTMatrix",
    "Tucker",
    "balanced_outer",
    "check_sizes",
    "checked_modes",
    "checked_ranks",
    "contracted",
    "contracted_parts",
    "core_shapes",
    "cores_of",
    "cut_together",
    "factor_match_score",
    "feasible_ranks",
    "full_bonds",
    "full_ranks",
    "haar_isometry",
    "merged_core",
    "pad_core",
    "parameters_at",
    "plan_contraction",
    "plan_modes",
    "ranks_within",
    "truncate_cores",
    "within_budget",
]
