"""Rankfold: train, compress and decompose with low-rank tensors in PyTorch. It finds the rank.

The public names; everything else is private.
"""

import gc
import importlib
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from rankfold import adapters, decompose, layers
    from rankfold._allocator import tune_cpu_allocator
    from rankfold._checkpoint import Checkpoints, RestoredCheckpoint, load, save
    from rankfold._decomposition_file import load_decomposition, save_decomposition
    from rankfold.compression import CompressedLayer, Compression, FineTuning, compress
    from rankfold.convert import (
        Budget,
        Conversion,
        ConvertedLayer,
        Latency,
        densify,
        factorize,
        fit_rank,
        fold,
        parse_policy,
    )
    from rankfold.decompose import CPDecomposition, Decomposition, cp, tt, tucker
    from rankfold.export import ExportRecord, export_onnx, export_program
    from rankfold.formats import CP, TT, TTMatrix, Tucker, factor_match_score
    from rankfold.ranks import (
        EVBMF,
        Energy,
        Fixed,
        Fraction,
        Quantum,
        RankPolicy,
        Sensitivity,
        Tolerance,
    )
    from rankfold.training import TDLRT, RankRecord, register_transport, set_ranks

# Whoever trains networks does not wait for solvers of decompositions, and the other way round: a name is imported when
# it is first asked for (Python enhancement proposal 562).
_PLACES = {
    "rankfold._allocator": ("tune_cpu_allocator",),
    "rankfold._checkpoint": ("Checkpoints", "RestoredCheckpoint", "load", "save"),
    "rankfold._decomposition_file": ("load_decomposition", "save_decomposition"),
    "rankfold.compression": ("CompressedLayer", "Compression", "FineTuning", "compress"),
    "rankfold.convert": (
        "Budget",
        "Conversion",
        "ConvertedLayer",
        "Latency",
        "densify",
        "factorize",
        "fit_rank",
        "fold",
        "parse_policy",
    ),
    "rankfold.decompose": ("CPDecomposition", "Decomposition", "cp", "tt", "tucker"),
    "rankfold.export": ("ExportRecord", "export_onnx", "export_program"),
    "rankfold.formats": ("CP", "TT", "TTMatrix", "Tucker", "factor_match_score"),
    "rankfold.ranks": (
        "EVBMF",
        "Energy",
        "Fixed",
        "Fraction",
        "Quantum",
        "RankPolicy",
        "Sensitivity",
        "Tolerance",
    ),
    "rankfold.training": ("TDLRT", "RankRecord", "register_transport", "set_ranks"),
}
_PLACE_OF = {name: place for place, names in _PLACES.items() for name in names}
_MODULES = (
    "adapters",
    "compression",
    "convert",
    "decompose",
    "diagnostics",
    "formats",
    "growth",
    "init",
    "layers",
    "linalg",
    "ranks",
    "regularize",
    "sharing",
    "training",
)

__all__ = [
    "CP",
    "EVBMF",
    "TDLRT",
    "TT",
    "Budget",
    "CPDecomposition",
    "CheckpointError",
    "Checkpoints",
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
    "RestoredCheckpoint",
    "SelectorError",
    "Sensitivity",
    "ShapeError",
    "TTMatrix",
    "Tolerance",
    "Tucker",
    "adapters",
    "compress",
    "cp",
    "decompose",
    "densify",
    "export_onnx",
    "export_program",
    "factor_match_score",
    "factorize",
    "fit_rank",
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
    if name in _MODULES:
        return _imported(f"rankfold.{name}")
    if name not in _PLACE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(_imported(_PLACE_OF[name]), name)
    globals()[name] = value  # the next look finds it at once
    return value


def _imported(place: str) -> Any:
    """The module, imported without a pass of the garbage collector over all that torch holds, which takes longer."""
    collecting = gc.isenabled()
    gc.disable()
    try:
        return importlib.import_module(place)
    finally:
        if collecting:
            gc.enable()


def __dir__() -> list[str]:
    return sorted(__all__)
