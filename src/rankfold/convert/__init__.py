"""Floor 3: walk a model; dense layers become factorised ones and back."""

from rankfold.convert._conversion import Conversion, ConvertedLayer
from rankfold.convert._factorize import factorize, factorize_like
from rankfold.convert._fold import densify, factorized_layers, fold
from rankfold.convert._latency import Latency
from rankfold.convert._rules import RULES, ConversionRule

__all__ = [
    "RULES",
    "Conversion",
    "ConversionRule",
    "ConvertedLayer",
    "Latency",
    "densify",
    "factorize",
    "factorize_like",
    "factorized_layers",
    "fold",
]
