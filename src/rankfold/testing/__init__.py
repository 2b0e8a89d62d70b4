"""Contract suites: a new format, layer or integrator says how to make one and inherits every test."""

from rankfold.testing._augmentation_contract import AugmentationContract
from rankfold.testing._format_contract import FormatContract
from rankfold.testing._integrator_contract import IntegratorContract, linear_loss_gradients
from rankfold.testing._layer_contract import LayerContract
from rankfold.testing._pairwise import pairwise
from rankfold.testing._rounding import assert_same
from rankfold.testing._solver_contract import SolverContract
from rankfold.testing._tucker_layer_contract import TuckerLayerContract

__all__ = [
    "AugmentationContract",
    "FormatContract",
    "IntegratorContract",
    "LayerContract",
    "SolverContract",
    "TuckerLayerContract",
    "assert_same",
    "linear_loss_gradients",
    "pairwise",
]
