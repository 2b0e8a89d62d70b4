"""The rank of a tensor, with a fit of that rank."""

from math import prod

from torch import Tensor

from rankfold.decompose._compressed import Compressible, compress
from rankfold.decompose._data import Data
from rankfold.decompose._gaps import choose_rank
from rankfold.decompose._joint import improve
from rankfold.decompose._masked import MaskedData
from rankfold.decompose._methods import Settings
from rankfold.decompose._rank_path import chosen_rank, rank_path, rank_steps
from rankfold.decompose._result import RankStep

__all__ = ["search_rank"]

# Choices of this library: the components of the first search; how far a search must have looked beyond the rank it
# found, because components behind a strong common one come one by one and only the last of them makes the error
# fall; and the steps that polish the fit found.
_FIRST_BOUND = 11
_LOOK_BEYOND = 3
_STEPS = 60


def search_rank(
    data: Data, settings: Settings, *, squeeze: bool
) -> tuple[int, list[Tensor], tuple[RankStep, ...]]:
    """Find the number of components.

    Arguments:
        data: the tensor.
        settings: passed to the solvers.
        squeeze: whether the search may work in compressed coordinates.

    Returns:
        The rank, factors of that rank, and the path that led there. Data with gaps are judged by entries held out,
        others by what a component gains compared with noise.
    """
    if isinstance(data, MaskedData):
        return choose_rank(data, settings)
    most = prod(data.shape) // max(data.shape)
    bound = min(_FIRST_BOUND, most)
    while True:
        squeezed = None
        if squeeze and isinstance(data, Compressible):
            squeezed = compress(data, [bound] * len(data.shape))
        work: Data = data if squeezed is None else squeezed.data
        settings.recorder.lost = 0.0 if squeezed is None else squeezed.lost
        path = rank_path(
            work, settings, most=bound, lost=settings.recorder.lost**2, count=data.count, shape=data.shape
        )
        rank = chosen_rank(path, data.count, data.shape)
        ended = max(path.residuals) < bound or bound >= max(_LOOK_BEYOND * rank, _FIRST_BOUND)
        if ended or bound == most or settings.recorder.stopped:
            factors = improve(work, path.factors[rank], settings, steps=_STEPS, name="rank")
            if squeezed is not None:
                factors = squeezed.expand(factors, dtype=data.dtype, device=data.device)
            return rank, factors, rank_steps(path, data.count, data.shape)
        bound = min(2 * bound, most)
