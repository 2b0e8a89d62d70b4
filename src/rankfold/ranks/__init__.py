"""Floor 2: rank policies, rules that give ranks."""

from rankfold.ranks._measured import Call, LayerUse, MeasuredPolicy
from rankfold.ranks._policies import Fixed, Fraction, RankPolicy, as_policy, lowered
from rankfold.ranks._quantum import QUANTUM, Quantum, check_quantum, quantized_rank

__all__ = [
    "QUANTUM",
    "Call",
    "Fixed",
    "Fraction",
    "LayerUse",
    "MeasuredPolicy",
    "Quantum",
    "RankPolicy",
    "as_policy",
    "check_quantum",
    "lowered",
    "quantized_rank",
]
