"""Floor 3: walk a model; dense layers become factorised ones and back."""

from rankfold.convert._attention import on_split_attention, split_attention
from rankfold.convert._budget import Budget
from rankfold.convert._candidates import Candidate, convertible
from rankfold.convert._conversion import Conversion, ConvertedLayer
from rankfold.convert._factorize import convert_layers, factorize
from rankfold.convert._fit_rank import fit_rank
from rankfold.convert._fold import densify, factorized_layers, fold, fold_in_place
from rankfold.convert._latency import Latency
from rankfold.convert._orthogonalize import OrthogonalizedLayer, orthogonalize
from rankfold.convert._parity import outputs, relative_difference, same_noise, tensors_in
from rankfold.convert._policies import POLICIES, PolicyInfo, parse_policy
from rankfold.convert._rules import FORMATS, RULES, ConversionRule, LayerFormat
from rankfold.convert._timing import Timings, time_layers
from rankfold.convert._truncation import PlainTruncation, Truncation, core_energies
from rankfold.convert._weight_views import weight_groups

__all__ = [
    "FORMATS",
    "POLICIES",
    "RULES",
    "Budget",
    "Candidate",
    "Conversion",
    "ConversionRule",
    "ConvertedLayer",
    "Latency",
    "LayerFormat",
    "OrthogonalizedLayer",
    "PlainTruncation",
    "PolicyInfo",
    "Timings",
    "Truncation",
    "convert_layers",
    "convertible",
    "core_energies",
    "densify",
    "factorize",
    "factorized_layers",
    "fit_rank",
    "fold",
    "fold_in_place",
    "on_split_attention",
    "orthogonalize",
    "outputs",
    "parse_policy",
    "relative_difference",
    "same_noise",
    "split_attention",
    "tensors_in",
    "time_layers",
    "weight_groups",
]
