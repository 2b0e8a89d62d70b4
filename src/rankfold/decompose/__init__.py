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
from rankfold.decompose._tubal import TCUR, TRANSFORMS, TSVD, TubeTransform, t_cur, t_product, t_svd
from rankfold.decompose._tucker import tucker

__all__ = [
    "METHODS",
    "TCUR",
    "TRANSFORMS",
    "TSVD",
    "Agreement",
    "CPDecomposition",
    "Decomposition",
    "Degeneracy",
    "RankStep",
    "TracePoint",
    "TubeTransform",
    "cp",
    "t_cur",
    "t_product",
    "t_svd",
    "tt",
    "tucker",
]
