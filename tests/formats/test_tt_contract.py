"""TT of order 2 to 5 keeps the contract of formats."""

from collections.abc import Sequence
from itertools import pairwise
from math import prod

import torch
from torch import Tensor

from rankfold import TT
from rankfold.testing import FormatContract


class TestTT(FormatContract):
    shapes = ((4, 5), (7, 3), (3, 4, 5), (3, 1, 4), (2, 3, 4, 3), (2, 3, 2, 3, 2))
    largest = 3

    def make(self, shape: tuple[int, ...], seed: int, dtype: torch.dtype) -> TT:
        generator = torch.Generator().manual_seed(seed)
        bounds = [min(prod(shape[:k]), prod(shape[k:])) for k in range(1, len(shape))]
        ranks = [1, *(min(bound, self.largest) for bound in bounds), 1]
        sizes = [(left, n, right) for (left, right), n in zip(pairwise(ranks), shape, strict=True)]
        return TT(
            tuple(torch.randn(size, generator=generator, dtype=torch.float64).to(dtype) for size in sizes)
        )

    def parts(self, value: TT) -> list[Tensor]:
        return list(value.cores)

    def rebuilt(self, value: TT, parts: Sequence[Tensor]) -> TT:
        return TT(tuple(parts))

    def regauged(self, value: TT) -> TT:
        cores = list(value.cores)
        for k, rank in enumerate(value.ranks):
            turn = 3 * torch.linalg.qr(torch.randn(rank, rank, dtype=value.dtype)).Q
            cores[k] = cores[k] @ turn
            cores[k + 1] = torch.tensordot(turn.mT / 9, cores[k + 1], 1)
        return TT(tuple(cores))


class TestTTOfRankOne(TestTT):
    largest = 1
