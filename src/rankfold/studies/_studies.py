"""The studies by name."""

from rankfold._registry import Registry
from rankfold.studies._bad_minimum import BAD_MINIMUM
from rankfold.studies._lazy_training import LAZY_TRAINING
from rankfold.studies._overparam_als import OVERPARAM_ALS
from rankfold.studies._study import Study

__all__ = ["STUDIES"]

STUDIES: Registry[Study] = Registry(
    "study",
    BAD_MINIMUM,
    LAZY_TRAINING,
    OVERPARAM_ALS,
)
