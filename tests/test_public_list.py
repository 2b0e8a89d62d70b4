"""The public names; whoever changes them changes this list, and the changelog."""

import importlib
import inspect

import pytest

import rankfold

PUBLIC = {
    "rankfold": [
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
        "TTMatrix",
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
    ],
    "rankfold.decompose": [
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
    ],
    "rankfold.layers": [
        "EXECUTIONS",
        "Conv1d",
        "Conv2d",
        "Conv3d",
        "ConvTranspose2d",
        "Embedding",
        "FactorizedLayer",
        "FormatLayer",
        "Linear",
        "MPSClassifier",
        "Machine",
        "NeuronLayout",
        "OnePass",
        "OrthogonalWeight",
        "SplitAttention",
        "TTMatrixEmbedding",
        "TTMatrixLayer",
        "TTMatrixLinear",
        "TransposedLinear",
        "calibrate",
        "haar_coarsened",
        "merge_orthogonal",
        "neuron_layout",
        "orthogonal_matrices",
        "orthogonal_weights",
        "redraw_blocks",
        "replace_data",
        "require_module",
    ],
}


@pytest.mark.parametrize("module", PUBLIC)
def test_names_are_exactly_these(module: str) -> None:
    assert importlib.import_module(module).__all__ == PUBLIC[module]


@pytest.mark.parametrize(("module", "name"), [(module, name) for module in PUBLIC for name in PUBLIC[module]])
def test_every_name_is_there_and_described(module: str, name: str) -> None:
    assert inspect.getdoc(getattr(importlib.import_module(module), name))


def test_version() -> None:
    assert [int(part) for part in rankfold.__version__.split(".")] >= [0, 1, 0]
