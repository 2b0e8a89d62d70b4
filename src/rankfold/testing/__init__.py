"""Contract suites: a new format, layer, integrator, solver, policy or regulariser inherits every test of its kind."""

from rankfold.testing._augmentation_contract import AugmentationContract
from rankfold.testing._combinations import FORMS, OPTIMIZERS, CombinationForm, Outcome, combine
from rankfold.testing._format_contract import FormatContract
from rankfold.testing._initializer_contract import InitializerContract, example_values
from rankfold.testing._integrator_contract import IntegratorContract, linear_loss_gradients
from rankfold.testing._layer_contract import LayerContract
from rankfold.testing._notebook import NotebookReader, assert_notebook_html
from rankfold.testing._pairwise import pairwise
from rankfold.testing._policy_contract import PolicyContract
from rankfold.testing._regularizer_contract import RegularizerContract
from rankfold.testing._rounding import assert_same
from rankfold.testing._solver_contract import SolverContract
from rankfold.testing._tucker_layer_contract import TuckerLayerContract

__all__ = [
    "FORMS",
    "OPTIMIZERS",
    "AugmentationContract",
    "CombinationForm",
    "FormatContract",
    "InitializerContract",
    "IntegratorContract",
    "LayerContract",
    "NotebookReader",
    "Outcome",
    "PolicyContract",
    "RegularizerContract",
    "SolverContract",
    "TuckerLayerContract",
    "assert_notebook_html",
    "assert_same",
    "combine",
    "example_values",
    "linear_loss_gradients",
    "pairwise",
]
