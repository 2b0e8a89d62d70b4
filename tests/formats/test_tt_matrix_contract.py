"""TT-matrices of two to four cores keep the contract of formats."""

from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor

from rankfold import TTMatrix
from rankfold.formats import core_shapes, full_bonds
from rankfold.testing import FormatContract


class TestTTMatrix(FormatContract):
    sizes: ClassVar = {
        (6, 4): ((3, 2), (2, 2)),
        (10, 3): ((5, 2), (1, 3)),
        (4, 6): ((2, 1, 2), (3, 2, 1)),
        (12, 8): ((2, 3, 2), (2, 2, 2)),
        (8, 8): ((2, 2, 2, 1), (1, 2, 2, 2)),
    }
    shapes = tuple(sizes)
    largest = 3

    def make(self, shape: tuple[int, ...], seed: int, dtype: torch.dtype) -> TTMatrix:
        generator = torch.Generator().manual_seed(seed)
        out, inner = self.sizes[shape]
        ranks = [min(bond, self.largest) for bond in full_bonds(out, inner)]
        cores = (
            torch.randn(size, generator=generator, dtype=torch.float64)
            for size in core_shapes(out, inner, ranks)
        )
        return TTMatrix(tuple(core.to(dtype) for core in cores))

    def parts(self, value: TTMatrix) -> list[Tensor]:
        return list(value.cores)

    def rebuilt(self, value: TTMatrix, parts: Sequence[Tensor]) -> TTMatrix:
        return TTMatrix(tuple(parts))

    def regauged(self, value: TTMatrix) -> TTMatrix:
        cores = list(value.cores)
        for k, rank in enumerate(value.ranks):
            turn = 3 * torch.linalg.qr(torch.randn(rank, rank, dtype=value.dtype)).Q
            cores[k] = cores[k] @ turn
            cores[k + 1] = torch.tensordot(turn.mT / 9, cores[k + 1], 1)
        return TTMatrix(tuple(cores))


class TestKroneckerProduct(TestTTMatrix):
    largest = 1
