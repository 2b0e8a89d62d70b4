"""CP of order 2 to 5 keeps the contract of formats."""

from collections.abc import Sequence

import torch
from torch import Tensor

from rankfold import CP
from rankfold.testing import FormatContract


class TestCP(FormatContract):
    shapes = ((4, 5), (7, 3), (3, 4, 5), (3, 1, 4), (2, 3, 4, 3), (2, 3, 2, 3, 2))
    rank = 3

    def make(self, shape: tuple[int, ...], seed: int, dtype: torch.dtype) -> CP:
        generator = torch.Generator().manual_seed(seed)
        weights, *factors = (
            torch.randn(n, self.rank, generator=generator, dtype=torch.float64).to(dtype) for n in (1, *shape)
        )
        return CP(weights[0], tuple(factors))

    def parts(self, value: CP) -> list[Tensor]:
        return [value.weights, *value.factors]

    def rebuilt(self, value: CP, parts: Sequence[Tensor]) -> CP:
        return CP(parts[0], tuple(parts[1:]))

    def regauged(self, value: CP) -> CP:
        order = torch.arange(value.rank - 1, -1, -1)
        scales = [torch.randn(value.rank, dtype=value.dtype) for _ in value.factors]
        weights = value.weights / torch.stack(scales).prod(0)
        factors = [factor * scale for factor, scale in zip(value.factors, scales, strict=True)]
        return CP(weights[order], tuple(factor[:, order] for factor in factors))


class TestCPOfRankOne(TestCP):
    rank = 1
