"""Floor 3: the parts of a tensor, without knowing the rank."""

from rankfold.decompose._cp import cp
from rankfold.decompose._data import Data
from rankfold.decompose._methods import METHODS, Method, Settings
from rankfold.decompose._result import (
    Agreement,
    CPDecomposition,
    Decomposition,
    Degeneracy,
    RankStep,
    TracePoint,
)
from rankfold.decompose._scaling import balance, random_factors
from rankfold.decompose._sharded import Sharded
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
    "Data",
    "Decomposition",
    "Degeneracy",
    "Method",
    "RankStep",
    "Settings",
    "Sharded",
    "TracePoint",
    "TubeTransform",
    "balance",
    "cp",
    "random_factors",
    "t_cur",
    "t_product",
    "t_svd",
    "tt",
    "tucker",
]
