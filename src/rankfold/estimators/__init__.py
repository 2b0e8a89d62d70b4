"""Decompositions as scikit-learn estimators: NumPy in, NumPy out. The only package here that imports scikit-learn."""

try:
    import sklearn  # noqa: F401 - asked for here, so that its absence is told in words
except ImportError:
    raise ImportError(
        "rankfold.estimators needs scikit-learn, which is not installed; pip install 'rankfold[estimators]'."
    ) from None

from rankfold.estimators._cp import CPDecomposer
from rankfold.estimators._tucker import TuckerDecomposer

__all__ = ["CPDecomposer", "TuckerDecomposer"]
