"""Floor 4: training on the low-rank manifold."""

from rankfold.training._loop import EpochMetrics, Progress, evaluate, fit
from rankfold.training._optimizer import TDLRT
from rankfold.training._orthogonal_descent import OrthogonalDescent
from rankfold.training._orthogonality_penalty import orthogonality_penalty
from rankfold.training._records import RankRecord
from rankfold.training._set_ranks import set_ranks
from rankfold.training._sharded import low_rank_parameters
from rankfold.training._stop import StopRequest, stop_on_signal
from rankfold.training._stored_ranks import restore_ranks
from rankfold.training._tensorboard_log import TensorBoardLog
from rankfold.training._transport import TRANSPORT_RULES, TransportRule, register_transport
from rankfold.training._two_site import SweepRecord, fit_two_site
from rankfold.training.integrators import INTEGRATORS, Integrator

__all__ = [
    "INTEGRATORS",
    "TDLRT",
    "TRANSPORT_RULES",
    "EpochMetrics",
    "Integrator",
    "OrthogonalDescent",
    "Progress",
    "RankRecord",
    "StopRequest",
    "SweepRecord",
    "TensorBoardLog",
    "TransportRule",
    "evaluate",
    "fit",
    "fit_two_site",
    "low_rank_parameters",
    "orthogonality_penalty",
    "register_transport",
    "restore_ranks",
    "set_ranks",
    "stop_on_signal",
]
