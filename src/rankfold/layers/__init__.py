"""Floor 2: ``nn`` layers over Tucker factors or a TT-matrix, attention made of such layers, weights in any format."""

from rankfold.layers._attention import SplitAttention
from rankfold.layers._base import FactorizedLayer
from rankfold.layers._conv import Conv1d, Conv2d, Conv3d, ConvTranspose2d
from rankfold.layers._embedding import Embedding
from rankfold.layers._execution import EXECUTIONS
from rankfold.layers._format_layer import FormatLayer
from rankfold.layers._format_weight import FormatWeight, write_weight
from rankfold.layers._hadamard import HadamardWeight, hadamard_weights
from rankfold.layers._kernel_matrix import kernel_from_matrix, kernel_matrix, kernel_matrix_shape
from rankfold.layers._linear import Linear
from rankfold.layers._machine import Machine, calibrate
from rankfold.layers._mps import MPSClassifier, haar_coarsened
from rankfold.layers._neurons import NeuronLayout, neuron_layout
from rankfold.layers._one_pass import OnePass
from rankfold.layers._orthogonal import (
    OrthogonalWeight,
    merge_orthogonal,
    orthogonal_matrices,
    orthogonal_weights,
    redraw_blocks,
)
from rankfold.layers._parametrized import multiply_out
from rankfold.layers._require import require_module
from rankfold.layers._resize import replace_data
from rankfold.layers._sites import FormatSite, format_sites
from rankfold.layers._transposed_linear import TransposedLinear
from rankfold.layers._tt_matrix_embedding import TTMatrixEmbedding
from rankfold.layers._tt_matrix_layer import TTMatrixLayer
from rankfold.layers._tt_matrix_linear import TTMatrixLinear

__all__ = [
    "EXECUTIONS",
    "Conv1d",
    "Conv2d",
    "Conv3d",
    "ConvTranspose2d",
    "Embedding",
    "FactorizedLayer",
    "FormatLayer",
    "FormatSite",
    "FormatWeight",
    "HadamardWeight",
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
    "format_sites",
    "haar_coarsened",
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
]
