"""Floor 3: what a training does to its weights: spectra, curvature, movement, balance."""

from rankfold.diagnostics._balance import component_balance, pair_balance
from rankfold.diagnostics._curvature import hessian_norms
from rankfold.diagnostics._lazy import laziness, pl_constant, tangent_kernel
from rankfold.diagnostics._monitor import LayerState, TrainingMonitor
from rankfold.diagnostics._spectrum import Spectrum, spectrum, weight_spectra
from rankfold.diagnostics._update_rank import UpdateRank, suggested_ranks

__all__ = [
    "LayerState",
    "Spectrum",
    "TrainingMonitor",
    "UpdateRank",
    "component_balance",
    "hessian_norms",
    "laziness",
    "pair_balance",
    "pl_constant",
    "spectrum",
    "suggested_ranks",
    "tangent_kernel",
    "weight_spectra",
]
