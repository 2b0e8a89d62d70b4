"""What every format keeps whose bases can grow."""

from typing import Any

import pytest
import torch
from torch import Tensor

from rankfold.testing._format_contract import FormatContract
from rankfold.testing._rounding import assert_same

__all__ = ["AugmentationContract"]


class AugmentationContract(FormatContract):
    """Tests of a format with ``modes`` that have a factor, one rank per mode, and ``augment(directions)``."""

    def free_ranks(self, value: Any) -> tuple[int, ...]:
        return tuple(value.ranks[mode] for mode in value.modes)

    @staticmethod
    def _directions(value: Any, count: int) -> dict[int, Tensor]:
        # A seed that no value is made with, or the directions might lie in its span.
        generator = torch.Generator().manual_seed(12345)
        return {
            mode: torch.randn(value.shape[mode], count, generator=generator, dtype=torch.float64)
            for mode in value.modes
        }

    def test_modes(self, shape: tuple[int, ...]) -> None:
        value = self._value(shape)
        assert len(value.ranks) == len(shape)
        assert set(value.modes) <= set(range(len(shape)))

    def test_truncation_leaves_modes_without_factor(self, shape: tuple[int, ...]) -> None:
        value = self._value(shape)
        for rank in range(1, max(self.free_ranks(value)) + 1):
            result = value.truncate(ranks=[min(rank, value.ranks[mode]) for mode in value.modes])
            assert all(
                result.ranks[mode] == shape[mode] for mode in set(range(len(shape))) - set(value.modes)
            )
            others = torch.tensor(result.ranks).prod() // torch.tensor(result.ranks)
            assert all(result.ranks[mode] <= others[mode] for mode in value.modes)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
    def test_augmentation_keeps_the_dtype(self, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        value = self.make(shape, 0, dtype)
        wider = value.augment({mode: torch.ones(shape[mode], 1, dtype=dtype) for mode in value.modes})
        assert {part.dtype for part in self.parts(wider)} == {dtype}

    def test_augmentation_keeps_the_tensor(self, shape: tuple[int, ...]) -> None:
        value = self.make(shape, 0, torch.float64).truncate(tolerance=0.0)
        directions = self._directions(value, 2)
        wider = value.augment(directions)
        assert_same(wider.to_dense(), value.to_dense(), terms=self._terms(wider))
        for mode in range(len(shape)):
            grown = min(value.ranks[mode] + 2, shape[mode]) if mode in value.modes else value.ranks[mode]
            assert wider.ranks[mode] == grown

    def test_truncation_undoes_augmentation(self, shape: tuple[int, ...]) -> None:
        value = self.make(shape, 0, torch.float64).truncate(tolerance=0.0)
        directions = self._directions(value, 3)
        back = value.augment(directions).truncate(tolerance=0.0)
        assert back.ranks == value.ranks
        assert_same(back.to_dense(), value.to_dense(), terms=self._terms(value))
