"""CP as a scikit-learn transformer."""

from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from rankfold.decompose import Decomposition, Method, cp
from rankfold.estimators._base import Array, Decomposer
from rankfold.estimators._loadings import contracted
from rankfold.formats import balanced_outer

__all__ = ["CPDecomposer"]


class CPDecomposer(Decomposer):
    """Samples as sums of the same components, ``x_s = sum_r a_sr b_r o ... o c_r``; PARAFAC with a found rank.

    Arguments:
        rank: number of components; None finds it.
        method: name of a CP method of Rankfold, ``'auto'`` chooses; or a method of your own.
        mask: ``'nan'`` takes NaN entries as missing, in fit, transform and score; None refuses them.
        nonnegative: factors and loadings that are at least 0.
        restarts: independent starts, None for the usual number of the method.
        random_state: an int, a NumPy RandomState or None.

    Attributes:
        factors_: list of ``(n_i, R)`` arrays with unit columns, one per mode, that of the samples first.
        weights_: ``(R,)``, norms of the components, the largest first.
        rank_: number of components R.
        relative_error_: ``||X - model|| / ||X||`` over the observed entries of the data of fit.
        sample_shape_: ``(n_2, ..., n_d)``.
        n_features_in_: n_2.
        result_: the :class:`~rankfold.CPDecomposition`: agreement of starts, degeneracy, ranks tried, trace.

    Reference:
        Harshman 1970, "Foundations of the PARAFAC procedure"; Bro 1997, "PARAFAC. Tutorial and applications".

    Example:
        >>> import numpy as np
        >>> spectra, profiles = np.eye(6)[:2] + 0.1, np.eye(5)[:2] + 0.2
        >>> amounts = np.array([[1.0, 2.0], [3.0, 1.0], [2.0, 5.0], [0.5, 4.0]])
        >>> x = np.einsum("sr,ri,rj->sij", amounts, spectra, profiles)
        >>> model = CPDecomposer(rank=2, random_state=0).fit(x[:3])
        >>> model.transform(x).shape, bool(model.score(x) > 0.999)
        ((4, 2), True)
    """

    factors_: list[Array]
    weights_: NDArray[np.floating]
    rank_: int

    def __init__(
        self,
        rank: int | None = None,
        *,
        method: str | Method = "auto",
        mask: Literal["nan"] | None = None,
        nonnegative: bool = False,
        restarts: int | None = None,
        random_state: Any = None,
    ) -> None:
        self.rank = rank
        self.method = method
        self.mask = mask
        self.nonnegative = nonnegative
        self.restarts = restarts
        self.random_state = random_state

    @property
    def components_(self) -> Array:
        """The components of a sample of loading 1, multiplied out: ``(R, n_2, ..., n_d)``."""
        return self._combined(np.eye(self.rank_, dtype=self.weights_.dtype))

    @property
    def _n_features_out(self) -> int:
        return self.rank_

    def _decompose(self, x: torch.Tensor, generator: torch.Generator) -> Decomposition:
        # Grids of model selection are often NumPy ranges.
        rank = int(self.rank) if isinstance(self.rank, np.integer) else self.rank
        return cp(
            x,
            rank,
            method=self.method,
            mask=self.mask,
            nonnegative=self.nonnegative,
            restarts=self.restarts,
            generator=generator,
        )

    def _keep(self, result: Decomposition) -> None:
        self.factors_ = [factor.numpy() for factor in result.tensor.factors]
        self.weights_ = result.tensor.weights.numpy()
        self.rank_ = result.tensor.rank

    def _projected(self, samples: Array) -> Array:
        return contracted(samples, self.factors_[1:])

    def _gram(self, observed: Array | None) -> Array:
        factors = [factor.astype(np.float64, copy=False) for factor in self.factors_[1:]]
        if observed is None:
            return np.prod([factor.T @ factor for factor in factors], axis=0)
        # A Gram matrix over some entries is a contraction of the mask with products of pairs of columns.
        pairs = [(factor[:, :, None] * factor[:, None, :]).reshape(len(factor), -1) for factor in factors]
        return contracted(observed[None], pairs).reshape(self.rank_, self.rank_)

    def _combined(self, loadings: Array) -> Array:
        factors = [
            torch.from_numpy(np.array(part, loadings.dtype)) for part in (loadings, *self.factors_[1:])
        ]
        return balanced_outer(factors).numpy()
