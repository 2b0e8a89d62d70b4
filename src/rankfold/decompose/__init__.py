"""Floor 3: the parts of a tensor, without knowing the rank."""

from rankfold.decompose._cp import cp
from rankfold.decompose._methods import METHODS
from rankfold.decompose._result import (
    Agreement,
    CPDecomposition,
    Decomposition,
    Degeneracy,
    RankStep,
    TracePoint,
)
from rankfold.decompose._tt import tt
from rankfold.decompose._tucker import tucker

__all__ = [
    "METHODS",
    "Agreement",
    "CPDecomposition",
    "Decomposition",
    "Degeneracy",
    "RankStep",
    "TracePoint",
    "cp",
    "tt",
    "tucker",
]
