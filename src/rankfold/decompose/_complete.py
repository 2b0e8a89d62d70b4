"""A dense tensor without gaps.

Axes: n_i dimensions, R components, S probes.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

import torch
from torch import Tensor

from rankfold.decompose._gram import GramNormal, grams, hadamard_except, model_norm_squared
from rankfold.decompose._tree import mttkrp, mttkrps
from rankfold.formats import balanced_outer
from rankfold.linalg import HOSVD, sequential_hosvd

__all__ = ["CompleteData", "forms_residual"]

# Choice of this library: gradients of up to this many entries come from the residual itself, which keeps all digits
# of an error near zero; beyond, Gram matrices save the memory.
_RESIDUAL_ENTRIES = 2**18


def forms_residual(count: int) -> bool:
    """Whether products with the residual of so many entries come from the residual itself."""
    return count <= _RESIDUAL_ENTRIES


class CompleteData:
    """All entries observed.

    Arguments:
        tensor: order 2 or more, floating point.
    """

    def __init__(self, tensor: Tensor) -> None:
        self.tensor = tensor.contiguous()
        self.shape = tuple(tensor.shape)
        self.dtype, self.device = tensor.dtype, tensor.device
        self.count = tensor.numel()
        self.norm = float(torch.linalg.vector_norm(self.tensor, dtype=torch.float64))

    def loss(self, factors: Sequence[Tensor]) -> float:
        """Half the squared error, from the residual itself, slab by slab."""
        first, *others = factors
        rows = max(_RESIDUAL_ENTRIES // (self.count // self.shape[0]), 1)
        slabs = zip(self.tensor.split(rows), first.split(rows), strict=True)
        parts = [
            (balanced_outer([part, *others]) - slab).square().sum(dtype=torch.float64) for slab, part in slabs
        ]
        return 0.5 * float(torch.stack(parts).sum())

    def gradients(self, factors: Sequence[Tensor]) -> tuple[float, list[Tensor]]:
        """The loss and its derivative by each factor."""
        if forms_residual(self.count):
            residual = balanced_outer(factors) - self.tensor
            return 0.5 * float(residual.square().sum()), [part for _, part in mttkrps(residual, factors)]
        products = [part for _, part in mttkrps(self.tensor, factors)]
        matrices = grams(factors)
        loss = self._loss(factors, products[-1], len(factors) - 1, matrices)
        gradients = [
            factor @ hadamard_except(matrices, mode) - part
            for mode, (factor, part) in enumerate(zip(factors, products, strict=True))
        ]
        return loss, gradients

    def sweep(self, factors: list[Tensor]) -> Iterator[tuple[int, Tensor, Tensor]]:
        """Mode by mode the right side and the Gram matrix of the least squares problem."""
        matrices = grams(factors)
        for mode, right in mttkrps(self.tensor, factors):
            yield mode, right, hadamard_except(matrices, mode)
            matrices[mode] = factors[mode].mT @ factors[mode]

    def normal(self, factors: Sequence[Tensor]) -> GramNormal:
        """The Gauss-Newton matrix, from Gram matrices."""
        return GramNormal(factors)

    def contract(self, factors: Sequence[Tensor], probes: Sequence[Tensor], mode: int) -> Tensor:
        """The residual times probes in all modes but one."""
        result = mttkrp(self.tensor, probes, mode)
        if not factors:
            return result
        mixed = [factor.mT @ probe for factor, probe in zip(factors, probes, strict=True)]
        return result - factors[mode] @ hadamard_except(mixed, mode)

    def probe(self, factors: Sequence[Tensor]) -> Callable[[Sequence[Tensor], int], Tensor]:
        """:meth:`contract` at fixed factors; a residual that is small enough is formed once."""
        if not factors or not forms_residual(self.count):
            return partial(self.contract, factors)
        residual = self.tensor - balanced_outer(factors)
        return lambda probes, mode: mttkrp(residual, probes, mode)

    def hosvd(self, modes: tuple[int, ...], ranks: tuple[int, ...]) -> HOSVD:
        """The tensor in coordinates of its leading singular vectors, mode after mode."""
        return sequential_hosvd(self.tensor, modes, ranks=ranks)

    def _loss(self, factors: Sequence[Tensor], right: Tensor, mode: int, matrices: list[Tensor]) -> float:
        inner = (right * factors[mode]).sum(dtype=torch.float64)
        model = model_norm_squared([matrix.double() for matrix in matrices])
        return max(0.5 * self.norm**2 - float(inner - 0.5 * model), 0.0)
