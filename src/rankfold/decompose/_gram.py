"""Products of Gram matrices: all that complete data need to know about the model.

Axes: n_i dimensions, R components. ``Γ_n`` is the Hadamard product of ``A_pᵀ A_p`` over all modes p but n.
"""

from collections.abc import Sequence
from functools import reduce

import torch
from torch import Tensor

__all__ = ["GramNormal", "grams", "hadamard_except", "model_norm_squared"]


def grams(factors: Sequence[Tensor]) -> list[Tensor]:
    """``A_pᵀ A_p`` of every mode."""
    return [factor.mT @ factor for factor in factors]


def hadamard_except(matrices: Sequence[Tensor], *modes: int) -> Tensor:
    """Hadamard product of all matrices but those of some modes; ones where none is left."""
    rest = [matrix for mode, matrix in enumerate(matrices) if mode not in modes]
    return reduce(torch.mul, rest) if rest else torch.ones_like(matrices[0])


def model_norm_squared(matrices: Sequence[Tensor]) -> Tensor:
    """``||model||²`` from the Gram matrices of its factors."""
    return reduce(torch.mul, matrices).sum()


class GramNormal:
    """``JᵀJ`` of a complete tensor: block (n, n) is ``I ⊗ Γ_n``, block (n, p) holds ``Γ_np[r,s] A_n[i,s] A_p[j,r]``.

    Arguments:
        factors: one ``(n_i, R)`` per mode.

    Reference:
        Phan, Tichavský and Cichocki 2013, "Low complexity damped Gauss-Newton algorithms for CANDECOMP/PARAFAC".
    """

    def __init__(self, factors: Sequence[Tensor]) -> None:
        self._factors = list(factors)
        self._grams = grams(factors)
        order = len(factors)
        self._single = [hadamard_except(self._grams, mode) for mode in range(order)]
        self._pairs = {
            (n, p): hadamard_except(self._grams, n, p) for n in range(order) for p in range(n + 1, order)
        }

    def matrix(self) -> Tensor:
        """The full matrix ``(P, P)``, ``P = R sum n_i``."""
        factors, rank = self._factors, self._factors[0].shape[1]
        sizes = [factor.shape[0] * rank for factor in factors]
        starts = [sum(sizes[:mode]) for mode in range(len(sizes))]
        result = factors[0].new_empty(sum(sizes), sum(sizes))
        for n, first in enumerate(factors):
            rows = slice(starts[n], starts[n] + sizes[n])
            count = first.shape[0]
            diagonal = torch.zeros(count, rank, count, rank, dtype=first.dtype, device=first.device)
            index = torch.arange(count, device=first.device)
            diagonal[index, :, index, :] = self._single[n]
            result[rows, rows] = diagonal.view(sizes[n], sizes[n])
            for p in range(n + 1, len(factors)):
                columns = slice(starts[p], starts[p] + sizes[p])
                second = factors[p]
                # (i, r, j, s) = Γ_np[r, s] A_n[i, s] A_p[j, r]
                left = first[:, None, :] * self._pairs[n, p]
                cross = (left[:, :, None, :] * second.mT[None, :, :, None]).reshape(sizes[n], sizes[p])
                result[rows, columns] = cross
                result[columns, rows] = cross.mT
        return result

    def product(self, vectors: Sequence[Tensor]) -> list[Tensor]:
        """Times one ``(n_i, R)`` per mode."""
        factors = self._factors
        inner = [factor.mT @ vector for factor, vector in zip(factors, vectors, strict=True)]
        results = []
        for n, factor in enumerate(factors):
            mixed = sum(self._pairs[min(n, p), max(n, p)] * inner[p] for p in range(len(factors)) if p != n)
            assert isinstance(mixed, Tensor)
            results.append(vectors[n] @ self._single[n] + factor @ mixed.mT)
        return results

    def blocks(self) -> list[Tensor]:
        """The diagonal blocks ``Γ_n``, the same for every row."""
        return self._single
