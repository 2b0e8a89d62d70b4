"""The studies by name."""

from rankfold._registry import Registry
from rankfold.studies._adaptive_methods import ADAPTIVE_METHODS
from rankfold.studies._bad_minimum import BAD_MINIMUM
from rankfold.studies._compression_curve import COMPRESSION_CURVE
from rankfold.studies._deep_factorization import DEEP_FACTORIZATION
from rankfold.studies._deflation import DEFLATION
from rankfold.studies._emergence_init import EMERGENCE_INIT
from rankfold.studies._equal_budget import EQUAL_BUDGET
from rankfold.studies._gated_rank import GATED_RANK
from rankfold.studies._hessian_init import HESSIAN_INIT
from rankfold.studies._integrator_guarantees import INTEGRATOR_GUARANTEES
from rankfold.studies._latent_dropout import LATENT_DROPOUT
from rankfold.studies._layer_growth import LAYER_GROWTH
from rankfold.studies._lazy_training import LAZY_TRAINING
from rankfold.studies._lazy_width import LAZY_WIDTH
from rankfold.studies._multiscale import MULTISCALE
from rankfold.studies._orthogonal_training import ORTHOGONAL_TRAINING
from rankfold.studies._overparam_als import OVERPARAM_ALS
from rankfold.studies._rank_evolution import RANK_EVOLUTION
from rankfold.studies._rf_nt_nn import RF_NT_NN
from rankfold.studies._shared_core import SHARED_CORE
from rankfold.studies._small_singular_values import SMALL_SINGULAR_VALUES
from rankfold.studies._spectral_init import SPECTRAL_INIT
from rankfold.studies._stacked_cur import STACKED_CUR
from rankfold.studies._study import Study
from rankfold.studies._update_rank import UPDATE_RANK

__all__ = ["STUDIES"]

STUDIES: Registry[Study] = Registry(
    "study",
    ADAPTIVE_METHODS,
    BAD_MINIMUM,
    COMPRESSION_CURVE,
    DEEP_FACTORIZATION,
    DEFLATION,
    EMERGENCE_INIT,
    EQUAL_BUDGET,
    GATED_RANK,
    HESSIAN_INIT,
    INTEGRATOR_GUARANTEES,
    LATENT_DROPOUT,
    LAYER_GROWTH,
    LAZY_TRAINING,
    LAZY_WIDTH,
    MULTISCALE,
    ORTHOGONAL_TRAINING,
    OVERPARAM_ALS,
    RANK_EVOLUTION,
    RF_NT_NN,
    SHARED_CORE,
    SMALL_SINGULAR_VALUES,
    SPECTRAL_INIT,
    STACKED_CUR,
    UPDATE_RANK,
)
