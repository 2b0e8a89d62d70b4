"""Floor 2: rank policies, rules that give ranks."""

from rankfold.ranks._policies import Fixed, Fraction, RankPolicy, as_policy
from rankfold.ranks._quantum import QUANTUM, Quantum, quantized_rank

__all__ = ["QUANTUM", "Fixed", "Fraction", "Quantum", "RankPolicy", "as_policy", "quantized_rank"]
