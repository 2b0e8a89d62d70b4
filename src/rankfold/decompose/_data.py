"""What a CP solver may ask of the data, whatever form they have.

Axes: n_i dimensions, R components. All losses are ``½ ||W * (model - x)||²`` over the observed entries.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import torch
from torch import Tensor

__all__ = ["Data", "Normal"]


class Normal(Protocol):
    """The Gauss-Newton matrix ``JᵀJ`` at some factors; parameters are the factors, row by row, one after another."""

    def matrix(self) -> Tensor:
        """All of it, ``(P, P)`` with ``P = R sum n_i``."""
        ...

    def product(self, vectors: Sequence[Tensor]) -> list[Tensor]:
        """Times a vector given as one ``(n_i, R)`` per mode."""
        ...

    def blocks(self) -> list[Tensor]:
        """Its diagonal blocks per mode: ``(R, R)``, the same for all rows, or ``(n_i, R, R)``, one per row."""
        ...


class Data(Protocol):
    """A tensor to be decomposed: complete and dense, dense with gaps, or sparse; a solver is the same for all three.

    Losses are ``½ ||model - x||²`` over the observed entries.

    Example:
        >>> import torch, rankfold
        >>> from rankfold.decompose import METHODS, Method
        >>> def solve(data, rank, settings):
        ...     print(data.shape, data.count, data.norm)
        ...     return METHODS["als"].solve(data, rank, settings)
        >>> parts = rankfold.cp(torch.ones(2, 3, 6), 1, method=Method("loud", solve, "", ""))
        (2, 3, 6) 36 6.0
    """

    @property
    def shape(self) -> tuple[int, ...]:
        """Dimensions (n_1, ..., n_d)."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """Precision of factors and products."""
        ...

    @property
    def device(self) -> torch.device:
        """Where factors live."""
        ...

    @property
    def count(self) -> int:
        """Number of observed entries."""
        ...

    @property
    def norm(self) -> float:
        """Frobenius norm over the observed entries."""
        ...

    def loss(self, factors: Sequence[Tensor]) -> float:
        """Half the squared error."""
        ...

    def gradients(self, factors: Sequence[Tensor]) -> tuple[float, list[Tensor]]:
        """The loss and its derivative by each factor, all at the same point."""
        ...

    def sweep(self, factors: list[Tensor]) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Visit the modes one after another for alternating updates.

        Yields mode, right side ``(n, R)`` and Gram matrix ``(R, R)`` (or one per row, ``(n, R, R)``) of the least
        squares problem ``factors[mode] @ gram = right`` at the present factors. The caller writes the new factor
        into ``factors`` before it asks for the next mode.
        """
        ...

    def normal(self, factors: Sequence[Tensor]) -> Normal:
        """The Gauss-Newton matrix at these factors."""
        ...

    def contract(self, factors: Sequence[Tensor], probes: Sequence[Tensor], mode: int) -> Tensor:
        """The residual ``x - model`` (zero where unobserved) times probes in all modes but one.

        Arguments:
            factors: of the model; an empty sequence stands for the model 0.
            probes: per mode ``(n_i, S)``, S probes side by side, each independent of the others (an MTTKRP of the
                residual); that of ``mode`` is not read.
            mode: the mode that is left.

        Returns:
            ``(n_mode, S)``.
        """
        ...

    def probe(self, factors: Sequence[Tensor]) -> Callable[[Sequence[Tensor], int], Tensor]:
        """:meth:`contract` as a function of probes and mode, for many products with one residual."""
        ...
