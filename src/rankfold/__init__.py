"""Rankfold: train, compress and decompose with low-rank tensors in PyTorch. It finds the rank.

The public names; everything else is private.
"""

import importlib
from typing import TYPE_CHECKING, Any

from rankfold import layers
from rankfold._allocator import tune_cpu_allocator
from rankfold._checkpoint import load, save
from rankfold._decomposition_file import load_decomposition, save_decomposition
from rankfold._errors import (
    CheckpointError,
    ConversionError,
    DataError,
    ExportError,
    NonFiniteError,
    OptimizerError,
    OptionError,
    RankError,
    RankfoldError,
    SelectorError,
    ShapeError,
)
from rankfold._version import __version__ as __version__
from rankfold.convert import (
    Budget,
    Conversion,
    ConvertedLayer,
    Latency,
    densify,
    factorize,
    fold,
    parse_policy,
)
from rankfold.formats import CP, TT, Tucker, factor_match_score
from rankfold.ranks import EVBMF, Energy, Fixed, Fraction, Quantum, RankPolicy, Sensitivity, Tolerance
from rankfold.training import TDLRT, RankRecord, register_transport, set_ranks

if TYPE_CHECKING:
    from rankfold import decompose
    from rankfold.compression import CompressedLayer, Compression, FineTuning, compress
    from rankfold.decompose import CPDecomposition, Decomposition, cp, tt, tucker
    from rankfold.export import ExportRecord, export_onnx, export_program

# Whoever trains networks does not wait for solvers of decompositions and exporters: they are imported at first use.
_AT_FIRST_USE = {
    "CPDecomposition": "rankfold.decompose",
    "CompressedLayer": "rankfold.compression",
    "Compression": "rankfold.compression",
    "Decomposition": "rankfold.decompose",
    "ExportRecord": "rankfold.export",
    "FineTuning": "rankfold.compression",
    "compress": "rankfold.compression",
    "cp": "rankfold.decompose",
    "decompose": "rankfold.decompose",
    "export_onnx": "rankfold.export",
    "export_program": "rankfold.export",
    "tt": "rankfold.decompose",
    "tucker": "rankfold.decompose",
}

__all__ = [
    "CP",
    "EVBMF",
    "TDLRT",
    "TT",
    "Budget",
    "CPDecomposition",
    "CheckpointError",
    "CompressedLayer",
    "Compression",
    "Conversion",
    "ConversionError",
    "ConvertedLayer",
    "DataError",
    "Decomposition",
    "Energy",
    "ExportError",
    "ExportRecord",
    "FineTuning",
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
    "Sensitivity",
    "ShapeError",
    "Tolerance",
    "Tucker",
    "compress",
    "cp",
    "decompose",
    "densify",
    "export_onnx",
    "export_program",
    "factor_match_score",
    "factorize",
    "fold",
    "layers",
    "load",
    "load_decomposition",
    "parse_policy",
    "register_transport",
    "save",
    "save_decomposition",
    "set_ranks",
    "tt",
    "tucker",
    "tune_cpu_allocator",
]


def __getattr__(name: str) -> Any:
    if name not in _AT_FIRST_USE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module = importlib.import_module(_AT_FIRST_USE[name])
    return module if name == "decompose" else getattr(module, name)


def __dir__() -> list[str]:
    return sorted(__all__)
