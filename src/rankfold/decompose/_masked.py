"""A dense tensor with gaps.

Axes: n_i dimensions, R components, Q = R (R + 1) / 2 pairs of components, S probes. Every Gram matrix becomes a sum
over observed entries; with the products ``a_r a_s`` of pairs of columns in place of columns these sums are the same
contractions as those of the data, with the mask as the tensor.
"""

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from functools import cached_property

import torch
from torch import Tensor

from rankfold.decompose._tree import contract_except, mttkrp, mttkrps
from rankfold.formats import balanced_outer

__all__ = ["MaskedData"]


class MaskedData:
    """Some entries observed; those that are not draw the model towards zero with a small weight.

    Without that weight a model runs away where nothing was observed, as soon as it has more parameters than the
    observed entries of a slice can fix.

    Arguments:
        tensor: order 2 or more, floating point; what it holds where nothing was observed does not matter.
        observed: bool, of the same shape.
        shrinkage: weight of the squared model where nothing was observed, 0 to 1; 1 takes the gaps for zeros.
    """

    def __init__(self, tensor: Tensor, observed: Tensor, shrinkage: float = 0.0) -> None:
        self.observed, self.shrinkage = observed, shrinkage
        self.tensor = torch.where(observed, tensor, 0.0).contiguous()
        self.weights = observed.to(tensor.dtype).clamp_min(shrinkage).contiguous()
        self.shape = tuple(tensor.shape)
        self.dtype, self.device = tensor.dtype, tensor.device
        self.count = int(observed.sum())
        self.norm = float(torch.linalg.vector_norm(self.tensor, dtype=torch.float64))

    def shrunk(self, shrinkage: float) -> "MaskedData":
        """The same data with another weight of the gaps."""
        other = copy(self)
        other.shrinkage = shrinkage
        other.weights = self.observed.to(self.dtype).clamp_min_(shrinkage).contiguous()
        return other

    def error(self, factors: Sequence[Tensor]) -> float:
        """Relative error over the observed entries alone."""
        missed = balanced_outer(factors).sub_(self.tensor).masked_fill_(~self.observed, 0.0)
        return float(torch.linalg.vector_norm(missed, dtype=torch.float64)) / self.norm

    def loss(self, factors: Sequence[Tensor]) -> float:
        """Half the weighted squared error."""
        return self._loss(self._residual(factors))

    def gradients(self, factors: Sequence[Tensor]) -> tuple[float, list[Tensor]]:
        """The loss and its derivative by each factor."""
        residual = self._residual(factors)
        return self._loss(residual), [part for _, part in mttkrps(residual, factors)]

    def sweep(self, factors: list[Tensor]) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Mode by mode the right side and one Gram matrix per row."""
        rank = factors[0].shape[1]
        columns = [_pairs(factor) for factor in factors]
        visits = zip(mttkrps(self.tensor, factors), mttkrps(self.weights, columns), strict=True)
        for (mode, right), (_, packed) in visits:
            yield mode, right, _unpacked(packed, rank)
            columns[mode] = _pairs(factors[mode])

    def normal(self, factors: Sequence[Tensor]) -> "MaskedNormal":
        """The Gauss-Newton matrix over the observed entries."""
        return MaskedNormal(factors, self.weights)

    def contract(self, factors: Sequence[Tensor], probes: Sequence[Tensor], mode: int) -> Tensor:
        """The residual times probes in all modes but one."""
        return self.probe(factors)(probes, mode)

    def probe(self, factors: Sequence[Tensor]) -> Callable[[Sequence[Tensor], int], Tensor]:
        """:meth:`contract` at fixed factors; the residual is formed once."""
        residual = self._residual(factors).neg_() if factors else self.tensor
        return lambda probes, mode: mttkrp(residual, probes, mode)

    def _residual(self, factors: Sequence[Tensor]) -> Tensor:
        """Weight times what the model misses: the derivative of the loss by the model."""
        return balanced_outer(factors).mul_(self.weights).sub_(self.tensor)

    def _loss(self, residual: Tensor) -> float:
        # Where nothing was observed the residual is shrinkage * model, and counts with 1 / shrinkage.
        squares = residual.square()
        if self.shrinkage:
            squares = squares.div_(self.weights)
        return 0.5 * float(squares.sum(dtype=torch.float64))


class MaskedNormal:
    """``JᵀJ`` over observed entries; block (n, p) is ``A_p[j,r] A_n[i,s] sum w a_r a_s`` over the other modes.

    Arguments:
        factors: one ``(n_i, R)`` per mode.
        weights: 1 where observed, the shrinkage elsewhere.

    Reference:
        Tomasi and Bro 2005, "PARAFAC and missing values", the Levenberg-Marquardt method INDAFAC.
    """

    def __init__(self, factors: Sequence[Tensor], weights: Tensor) -> None:
        self._factors, self._weights = list(factors), weights
        self._rank = factors[0].shape[1]
        self._columns = [_pairs(factor) for factor in factors]

    @cached_property
    def _blocks(self) -> list[Tensor]:
        return [_unpacked(packed, self._rank) for _, packed in mttkrps(self._weights, self._columns)]

    def blocks(self) -> list[Tensor]:
        """The diagonal blocks, one per row of each factor: ``(n_i, R, R)``."""
        return self._blocks

    def matrix(self) -> Tensor:
        """The full matrix ``(P, P)``, ``P = R sum n_i``."""
        factors, rank = self._factors, self._rank
        sizes = [factor.shape[0] * rank for factor in factors]
        starts = [sum(sizes[:mode]) for mode in range(len(sizes))]
        result = factors[0].new_empty(sum(sizes), sum(sizes))
        for n, first in enumerate(factors):
            rows = slice(starts[n], starts[n] + sizes[n])
            result[rows, rows] = torch.block_diag(*self._blocks[n])
            for p in range(n + 1, len(factors)):
                columns = slice(starts[p], starts[p] + sizes[p])
                sums = contract_except(self._weights, self._columns, n, p).movedim(0, -1)
                # (i, j, r, s), then A_p[j, r] and A_n[i, s]
                cross = _unpacked(sums, rank) * factors[p][None, :, :, None] * first[:, None, None, :]
                block = cross.transpose(1, 2).reshape(sizes[n], sizes[p])
                result[rows, columns] = block
                result[columns, rows] = block.mT
        return result

    def product(self, vectors: Sequence[Tensor]) -> list[Tensor]:
        """Times one ``(n_i, R)`` per mode: out to the observed entries and back."""
        factors = self._factors
        change = torch.zeros_like(self._weights)
        for mode, vector in enumerate(vectors):
            change += balanced_outer([*factors[:mode], vector, *factors[mode + 1 :]])
        return [part for _, part in mttkrps(change.mul_(self._weights), factors)]


def _pairs(factor: Tensor) -> Tensor:
    """Products of all pairs of columns, ``(n, Q)``."""
    first, second = torch.triu_indices(factor.shape[1], factor.shape[1], device=factor.device)
    return factor[:, first] * factor[:, second]


def _unpacked(packed: Tensor, rank: int) -> Tensor:
    """Symmetric matrices ``(..., R, R)`` from their upper triangles ``(..., Q)``."""
    first, second = torch.triu_indices(rank, rank, device=packed.device)
    result = packed.new_empty(*packed.shape[:-1], rank, rank)
    result[..., first, second] = packed
    result[..., second, first] = packed
    return result
