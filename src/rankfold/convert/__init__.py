"""Floor 3: walk a model; dense layers become factorised ones and back."""

from rankfold.convert._budget import Budget
from rankfold.convert._conversion import Conversion, ConvertedLayer
from rankfold.convert._factorize import factorize, factorize_like
from rankfold.convert._fold import densify, factorized_layers, fold
from rankfold.convert._latency import Latency
from rankfold.convert._rules import RULES, ConversionRule
from rankfold.convert._timing import Timings, time_layers

__all__ = [
    "RULES",
    "Budget",
    "Conversion",
    "ConversionRule",
    "ConvertedLayer",
    "Latency",
    "Timings",
    "densify",
    "factorize",
    "factorize_like",
    "factorized_layers",
    "fold",
    "time_layers",
]
