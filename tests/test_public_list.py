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
    "rankfold.regularize": [
        "REGULARIZERS",
        "CollapsedRank",
        "Exclusion",
        "FrobeniusDecay",
        "GatedRank",
        "LatentDropout",
        "Regularizer",
        "Sparsity",
        "SpectralPenalty",
        "collapse_hadamard",
        "decay_groups",
        "hadamard",
        "hadamard_penalty",
        "latent_dropout",
        "misalignment",
        "remove_latent_dropout",
    ],
    "rankfold.layers": [
        "EXECUTIONS",
        "Conv1d",
        "Conv2d",
        "Conv3d",
        "ConvTranspose2d",
        "Embedding",
        "FactorizedLayer",
        "FormatSite",
        "FormatWeight",
        "HadamardWeight",
        "Linear",
        "Machine",
        "NeuronLayout",
        "OnePass",
        "OrthogonalWeight",
        "SplitAttention",
        "TransposedLinear",
        "calibrate",
        "format_sites",
        "hadamard_weights",
        "kernel_from_matrix",
        "kernel_matrix",
        "kernel_matrix_shape",
        "merge_orthogonal",
        "multiply_out",
        "neuron_layout",
        "orthogonal_matrices",
        "orthogonal_weights",
        "redraw_blocks",
        "replace_data",
        "require_module",
        "write_weight",
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
