"""Rankfold: train, compress and decompose with low-rank tensors in PyTorch. It finds the rank.

The public names; everything else is private.
"""

from rankfold import layers
from rankfold._allocator import tune_cpu_allocator
from rankfold._checkpoint import load, save
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
from rankfold.formats import CP, TT, Tucker
from rankfold.ranks import Fixed, Fraction, Quantum, RankPolicy
from rankfold.training import TDLRT, RankRecord, register_transport

__version__ = "0.1.0"

__all__ = [
    "CP",
    "TDLRT",
    "TT",
    "CheckpointError",
    "Conversion",
    "ConversionError",
    "ConvertedLayer",
    "DataError",
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
    "densify",
    "factorize",
    "fold",
    "layers",
    "load",
    "register_transport",
    "save",
    "tune_cpu_allocator",
]
