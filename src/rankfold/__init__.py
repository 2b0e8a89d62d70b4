"""Rankfold: train, compress and decompose with low-rank tensors in PyTorch. It finds the rank.

The public names; everything else is private.
"""

from rankfold import decompose, layers
from rankfold._allocator import tune_cpu_allocator
from rankfold._checkpoint import load, save
from rankfold._decomposition_file import load_decomposition, save_decomposition
from rankfold._errors import (
    CheckpointError,
    ConversionError,
    DataError,
    NonFiniteError,
    OptimizerError,
    OptionError,
    RankError,
    RankfoldError,
    SelectorError,
    ShapeError,
)
from rankfold.convert import Conversion, ConvertedLayer, Latency, densify, factorize, fold
from rankfold.decompose import CPDecomposition, Decomposition, cp, tt, tucker
from rankfold.formats import CP, TT, Tucker, factor_match_score
from rankfold.ranks import Fixed, Fraction, Quantum, RankPolicy
from rankfold.training import TDLRT, RankRecord, register_transport

__version__ = "0.1.0"

__all__ = [
    "CP",
    "TDLRT",
    "TT",
    "CPDecomposition",
    "CheckpointError",
    "Conversion",
    "ConversionError",
    "ConvertedLayer",
    "DataError",
    "Decomposition",
    "Fixed",
    "Fraction",
    "Latency",
    "NonFiniteError",
    "OptimizerError",
    "OptionError",
    "Quantum",
    "RankError",
    "RankPolicy",
    "RankRecord",
    "RankfoldError",
    "SelectorError",
    "ShapeError",
    "Tucker",
    "cp",
    "decompose",
    "densify",
    "factor_match_score",
    "factorize",
    "fold",
    "layers",
    "load",
    "load_decomposition",
    "register_transport",
    "save",
    "save_decomposition",
    "tt",
    "tucker",
    "tune_cpu_allocator",
]
