"""Tucker as a scikit-learn transformer."""

from typing import Any, Literal

import numpy as np
import torch

from rankfold.decompose import Decomposition, tucker
from rankfold.estimators._base import Array, Decomposer

__all__ = ["TuckerDecomposer"]


class TuckerDecomposer(Decomposer):
    """Samples as combinations of basis samples that are themselves small cores times factors.

    Arguments:
        ranks: one rank per mode, that of the samples first; None leaves them to ``tolerance`` or ``energy``.
        tolerance: relative error allowed.
        energy: share of the squared norm to keep in each mode, in (0, 1].
        method: a Tucker method of Rankfold, ``'auto'`` chooses.
        mask: ``'nan'`` takes NaN entries as missing, in fit, transform and score; None refuses them.
        nonnegative: core, factors and loadings that are at least 0.
        random_state: an int, a NumPy RandomState or None.

    Attributes:
        core_: ``(r_1, ..., r_d)``.
        factors_: list of ``(n_i, r_i)`` arrays, one per mode, that of the samples first.
        ranks_: ``(r_1, ..., r_d)``; samples have r_1 loadings.
        relative_error_: ``||X - model|| / ||X||`` over the observed entries of the data of fit.
        sample_shape_: ``(n_2, ..., n_d)``.
        n_features_in_: n_2.
        result_: the :class:`~rankfold.Decomposition` with its trace.

    Reference:
        Tucker 1966, "Some mathematical notes on three-mode factor analysis".

    Example:
        >>> import numpy as np
        >>> grid = np.linspace(0, 1, 8)
        >>> x = 1 / (1 + grid[:, None, None] + grid[:, None] + grid)
        >>> model = TuckerDecomposer(tolerance=1e-2).fit(x)
        >>> model.ranks_, model.transform(x).shape
        ((2, 2, 2), (8, 2))
    """

    core_: Array
    factors_: list[Array]
    ranks_: tuple[int, ...]

    def __init__(
        self,
        ranks: tuple[int, ...] | None = None,
        *,
        tolerance: float | None = None,
        energy: float | None = None,
        method: str = "auto",
        mask: Literal["nan"] | None = None,
        nonnegative: bool = False,
        random_state: Any = None,
    ) -> None:
        self.ranks = ranks
        self.tolerance = tolerance
        self.energy = energy
        self.method = method
        self.mask = mask
        self.nonnegative = nonnegative
        self.random_state = random_state

    @property
    def components_(self) -> Array:
        """The basis samples, multiplied out: ``(r_1, n_2, ..., n_d)``."""
        return self._combined(np.eye(self.ranks_[0], dtype=self.core_.dtype))

    @property
    def _n_features_out(self) -> int:
        return self.ranks_[0]

    def _decompose(self, x: torch.Tensor, generator: torch.Generator) -> Decomposition:
        return tucker(
            x,
            self.ranks,
            tolerance=self.tolerance,
            energy=self.energy,
            mask=self.mask,
            nonnegative=self.nonnegative,
            method=self.method,  # pyright: ignore[reportArgumentType]
            generator=generator,
        )

    def _keep(self, result: Decomposition) -> None:
        tensor = result.tensor
        self.core_ = tensor.core.numpy()
        self.ranks_ = tensor.ranks
        self.factors_ = [
            np.eye(size, dtype=self.core_.dtype) if factor is None else factor.numpy()
            for factor, size in zip(tensor.factors, tensor.ranks, strict=True)
        ]

    def _projected(self, samples: Array) -> Array:
        result = samples
        for factor in self.factors_[1:]:  # each product puts the new axis last, and the next mode second
            result = np.tensordot(result, factor.astype(samples.dtype, copy=False), axes=(1, 0))
        core = self.core_.astype(samples.dtype, copy=False)
        return result.reshape(len(samples), -1) @ core.reshape(len(core), -1).T

    def _gram(self, observed: Array | None) -> Array:
        if observed is not None:
            basis = self.components_.astype(np.float64).reshape(self.ranks_[0], -1)
            return (basis * observed.reshape(-1)) @ basis.T
        core = self.core_.astype(np.float64)
        other = core
        for factor in self.factors_[1:]:
            wide = factor.astype(np.float64)
            other = np.tensordot(other, wide.T @ wide, axes=(1, 0))
        return other.reshape(len(core), -1) @ core.reshape(len(core), -1).T

    def _combined(self, loadings: Array) -> Array:
        result = np.tensordot(loadings, self.core_.astype(loadings.dtype, copy=False), axes=1)
        for factor in self.factors_[1:]:
            result = np.tensordot(result, factor.astype(loadings.dtype, copy=False), axes=(1, 1))
        return result
