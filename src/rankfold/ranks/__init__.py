"""Floor 2: rank policies, rules that give ranks."""

from rankfold.ranks._allocate import Options, allocate
from rankfold.ranks._fixed import Fixed
from rankfold.ranks._fraction import Fraction
from rankfold.ranks._measured import Call, LayerUse, MeasuredPolicy
from rankfold.ranks._policy import RankPolicy, ShapeRule, as_policy, as_rule, lowered
from rankfold.ranks._quantum import QUANTUM, Quantum, check_quantum, quantized_rank
from rankfold.ranks._weight_view import Choice, Form, WeightView

__all__ = [
    "QUANTUM",
    "Call",
    "Choice",
    "Fixed",
    "Form",
    "Fraction",
    "LayerUse",
    "MeasuredPolicy",
    "Options",
    "Quantum",
    "RankPolicy",
    "ShapeRule",
    "WeightView",
    "allocate",
    "as_policy",
    "as_rule",
    "check_quantum",
    "lowered",
    "quantized_rank",
]
