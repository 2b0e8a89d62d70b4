"""Floor 2: rank policies, rules that give ranks."""

from rankfold.ranks._policies import Fixed, Fraction, RankPolicy, as_policy

__all__ = ["Fixed", "Fraction", "RankPolicy", "as_policy"]
