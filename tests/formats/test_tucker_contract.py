"""Tucker of order 2 to 5, with all factors and with some, keeps the contract of formats."""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from rankfold import Tucker
from rankfold.linalg import mode_product
from rankfold.testing import AugmentationContract


class TestTucker(AugmentationContract):
    shapes = ((4, 5), (7, 3), (3, 4, 5), (3, 1, 4), (2, 3, 4, 3), (2, 3, 2, 3, 2))

    def factorized(self, order: int) -> tuple[int, ...]:
        return tuple(range(order))

    def make(self, shape: tuple[int, ...], seed: int, dtype: torch.dtype) -> Tucker:
        generator = torch.Generator().manual_seed(seed)
        modes = self.factorized(len(shape))
        ranks = [max(size - 1, 1) if mode in modes else size for mode, size in enumerate(shape)]
        for mode in modes:
            ranks[mode] = min(ranks[mode], prod(ranks) // ranks[mode])

        def normal(*size: int) -> Tensor:
            return torch.randn(size, generator=generator, dtype=torch.float64).to(dtype)

        factors = [normal(shape[mode], ranks[mode]) if mode in modes else None for mode in range(len(shape))]
        return Tucker(normal(*ranks), tuple(factors))

    def parts(self, value: Tucker) -> list[Tensor]:
        return [value.core, *(factor for factor in value.factors if factor is not None)]

    def rebuilt(self, value: Tucker, parts: Sequence[Tensor]) -> Tucker:
        core, *rest = parts
        remaining = iter(rest)
        return Tucker(core, tuple(None if factor is None else next(remaining) for factor in value.factors))

    def regauged(self, value: Tucker) -> Tucker:
        core, factors = value.core, list(value.factors)
        for mode in value.modes:
            turn = torch.linalg.qr(torch.randn(value.ranks[mode], value.ranks[mode], dtype=core.dtype)).Q
            core, factors[mode] = mode_product(core, turn.mT / 2, mode), 2 * factors[mode] @ turn
        return Tucker(core, tuple(factors))


class TestPartialTucker(TestTucker):
    def factorized(self, order: int) -> tuple[int, ...]:
        return (0, 1) if order > 2 else (1,)


class TestTuckerOfLaterModes(TestTucker):
    shapes = ((3, 4, 5), (2, 3, 4, 3), (2, 3, 2, 3, 2))

    def factorized(self, order: int) -> tuple[int, ...]:
        return tuple(range(1, order))
