"""Floor 4: deeper models from trained ones."""

from rankfold.growth._insert import Growth, insert_blocks
from rankfold.growth._joint_svd import SharedBasis, joint_svd
from rankfold.growth._methods import GROWTH_METHODS, GrowthMethod
from rankfold.growth._predict import Prediction

__all__ = [
    "GROWTH_METHODS",
    "Growth",
    "GrowthMethod",
    "Prediction",
    "SharedBasis",
    "insert_blocks",
    "joint_svd",
]
