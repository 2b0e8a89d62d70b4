"""What both estimators do in the same way."""

from abc import abstractmethod
from typing import Any, Literal, Self

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils import check_array, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from rankfold._errors import OptionError, ShapeError
from rankfold.decompose import Decomposition
from rankfold.estimators._loadings import solved

__all__ = ["Decomposer"]

Array = NDArray[np.floating]
_LARGEST_SEED = np.iinfo(np.int32).max


class Decomposer(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseEstimator):
    """A decomposition whose first mode are samples.

    A subclass gives the decomposition, the model of loadings, and what least squares needs.
    """

    mask: Literal["nan"] | None
    nonnegative: bool
    random_state: Any

    # -- what a subclass gives -------------------------------------------------------------------------

    @abstractmethod
    def _decompose(self, x: torch.Tensor, generator: torch.Generator) -> Decomposition:
        """Decompose all samples."""

    @abstractmethod
    def _keep(self, result: Decomposition) -> None:
        """Set the fitted attributes."""

    @property
    @abstractmethod
    def _n_features_out(self) -> int:
        """Number of loadings of a sample."""

    @abstractmethod
    def _projected(self, samples: Array) -> Array:
        """Inner products of samples with the basis, ``(S, R)``."""

    @abstractmethod
    def _gram(self, observed: Array | None) -> Array:
        """Inner products of the basis with itself ``(R, R)``, over the observed entries of a sample."""

    @abstractmethod
    def _combined(self, loadings: Array) -> Array:
        """The samples that loadings stand for."""

    # -- what a user calls -----------------------------------------------------------------------------

    def fit(self, X: ArrayLike, y: Any = None) -> Self:
        """Decompose.

        Arguments:
            X: ``(samples, n_2, ..., n_d)``.
            y: ignored.

        Returns:
            The estimator.

        Raises:
            ValueError: data or settings that cannot be decomposed.
        """
        X = self._checked(X, reset=True)
        seed = int(check_random_state(self.random_state).randint(_LARGEST_SEED))
        # A copy only of what torch cannot share: read-only or reversed memory.
        x = torch.from_numpy(np.require(X, requirements=["C", "W"]))
        result = self._decompose(x, torch.Generator().manual_seed(seed))
        self.sample_shape_ = X.shape[1:]
        self.result_ = result
        self.relative_error_ = result.relative_error
        self._keep(result)
        return self

    def transform(self, X: ArrayLike) -> Array:
        """Loadings of samples by least squares against the fitted basis.

        Arguments:
            X: ``(samples, n_2, ..., n_d)`` with the dimensions of fit.

        Returns:
            ``(samples, R)``, in the precision of ``X``. What a sample does not determine is 0.
        """
        check_is_fitted(self)
        return self._loadings(self._checked(X, reset=False))

    def inverse_transform(self, X: ArrayLike) -> Array:
        """The samples that loadings stand for.

        Arguments:
            X: ``(samples, R)`` from transform.

        Returns:
            ``(samples, n_2, ..., n_d)``.
        """
        check_is_fitted(self)
        loadings = check_array(X, dtype=(np.float64, np.float32))  # pyright: ignore[reportArgumentType]
        if loadings.shape[1] != self._n_features_out:
            raise ShapeError(
                f"{type(self).__name__}: got loadings of shape {loadings.shape}; pass {self._n_features_out} each."
            )
        return self._combined(loadings)

    def score(self, X: ArrayLike, y: Any = None) -> float:
        """Explained share of the squared norm, ``1 - ||X - model||² / ||X||²`` over the observed entries.

        Larger is better, as scikit-learn's model selection expects. Data are not centred, so this is R² against
        zero, not against the mean.

        Arguments:
            X: ``(samples, n_2, ..., n_d)``.
            y: ignored.

        Returns:
            At most 1.
        """
        check_is_fitted(self)
        X = self._checked(X, reset=False)
        seen = np.nan_to_num(X)
        # Squares of very large or small numbers leave the range of float64.
        largest = float(np.abs(seen).max())
        if largest == 0:
            return 1.0
        residual = np.nan_to_num(X - self._combined(self._loadings(X)))
        total = float(np.sum(np.square(seen / largest, dtype=np.float64)))
        return 1 - float(np.sum(np.square(residual / largest, dtype=np.float64))) / total

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = self.mask == "nan"
        tags.transformer_tags.preserves_dtype = ["float64", "float32"]
        return tags

    # -- the rest --------------------------------------------------------------------------------------

    def _checked(self, X: ArrayLike, *, reset: bool) -> Array:
        name = type(self).__name__
        if self.mask not in (None, "nan"):
            raise OptionError(
                f"{name}: got mask {self.mask!r}; pass 'nan' where NaN entries are missing, else None."
            )
        checked: Any = validate_data(
            self,
            X,  # pyright: ignore[reportArgumentType]
            reset=reset,
            allow_nd=True,
            dtype=(np.float64, np.float32),
            ensure_all_finite="allow-nan" if self.mask == "nan" else True,
        )
        if not reset and checked.shape[1:] != self.sample_shape_:
            raise ShapeError(
                f"{name}: got samples of shape {checked.shape[1:]}, those of fit are {self.sample_shape_}; pass such."
            )
        return checked

    def _loadings(self, X: Array) -> Array:
        missing = np.isnan(X) if self.mask == "nan" else np.zeros(0, bool)
        if not missing.any():
            grams, rights = self._gram(None), self._projected(X)
        else:
            grams = np.stack([self._gram((~gaps).astype(np.float64)) for gaps in missing])
            rights = self._projected(np.where(missing, X.dtype.type(0), X))
        return solved(grams, rights, nonnegative=self.nonnegative).astype(X.dtype)
