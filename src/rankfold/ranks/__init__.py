"""Floor 2: rank policies, rules that give ranks."""

from rankfold.ranks._allocate import Options, allocate
from rankfold.ranks._amount import check_amount, is_share
from rankfold.ranks._energy import Energy
from rankfold.ranks._evbmf import EVBMF
from rankfold.ranks._fixed import Fixed
from rankfold.ranks._form import Choice, Form
from rankfold.ranks._fraction import Fraction
from rankfold.ranks._measured import Call, LayerUse, MeasuredPolicy
from rankfold.ranks._menu import Allowed, Menu, forms, grid_errors, menu
from rankfold.ranks._policy import RankPolicy, ShapeRule, as_policy, as_rule, lowered
from rankfold.ranks._quantum import QUANTUM, Quantum, check_quantum, quantized_rank
from rankfold.ranks._sensitivity import Sensitivity
from rankfold.ranks._shares import Shares
from rankfold.ranks._spend import parameter_menus, spend
from rankfold.ranks._tolerance import Tolerance
from rankfold.ranks._weight_view import WeightView

__all__ = [
    "EVBMF",
    "QUANTUM",
    "Allowed",
    "Call",
    "Choice",
    "Energy",
    "Fixed",
    "Form",
    "Fraction",
    "LayerUse",
    "MeasuredPolicy",
    "Menu",
    "Options",
    "Quantum",
    "RankPolicy",
    "Sensitivity",
    "ShapeRule",
    "Shares",
    "Tolerance",
    "WeightView",
    "allocate",
    "as_policy",
    "as_rule",
    "check_amount",
    "check_quantum",
    "forms",
    "grid_errors",
    "is_share",
    "lowered",
    "menu",
    "parameter_menus",
    "quantized_rank",
    "spend",
]
