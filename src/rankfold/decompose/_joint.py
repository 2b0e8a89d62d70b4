"""A few joint steps on all factors, by whichever method costs least for the data at hand."""

from collections.abc import Sequence

from torch import Tensor

from rankfold.decompose._als import alternate
from rankfold.decompose._damped_step import DENSE_PARAMETERS
from rankfold.decompose._data import Data
from rankfold.decompose._gauss_newton import refine
from rankfold.decompose._masked import MaskedData
from rankfold.decompose._methods import Settings

__all__ = ["improve"]

# Choices of this library: where nothing was observed a model may run away, and a ridge far below the error that
# anybody looks for holds it; sweeps end once they gain no more than a millionth.
_RIDGE = 1e-6
_TOLERANCE = 1e-6


def improve(
    data: Data, factors: Sequence[Tensor], settings: Settings, *, steps: int, name: str
) -> list[Tensor]:
    """Lower the error by Gauss-Newton steps; with gaps and many parameters by alternating least squares.

    There every product with the Gauss-Newton matrix reads the whole tensor twice, and a sweep with one small exact
    solution per row gets further in the time.

    Arguments:
        data: what to fit.
        factors: start; not changed.
        settings: passed on.
        steps: Gauss-Newton steps or sweeps.
        name: for the trace.

    Returns:
        Balanced factors.
    """
    parameters = sum(factor.numel() for factor in factors)
    if not isinstance(data, MaskedData):
        return refine(data, factors, settings, iterations=steps, name=name)
    if parameters > DENSE_PARAMETERS:
        return alternate(data, list(factors), settings, sweeps=steps, tolerance=_TOLERANCE, name=name)[0]
    ridge = _RIDGE * data.norm ** (2 - 2 / len(data.shape))
    return refine(data, factors, settings, iterations=steps, ridge=ridge, name=name)
