"""What every format keeps."""

from collections.abc import Sequence
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from rankfold.testing._rounding import assert_same

__all__ = ["FormatContract"]


class FormatContract:
    """Tests of a format; a subclass named ``Test...`` says how to make a value and inherits them.

    A value has ``shape``, ``modes``, ``ranks`` (one per mode), ``num_parameters``, ``to_dense()``, ``norm()``,
    ``truncate(tolerance=, ranks=)`` and ``augment(directions)``.
    """

    #: The shapes that every test runs over.
    shapes: ClassVar[Sequence[tuple[int, ...]]]

    def make(self, shape: tuple[int, ...], seed: int, dtype: torch.dtype) -> Any:
        """A random value with ranks below the shape, that no truncation at tolerance 0 would lower.

        Its parts should be as general as the format allows, for instance factors that are not orthonormal.
        """
        raise NotImplementedError

    def parts(self, value: Any) -> list[Tensor]:
        """The tensors that a value stores."""
        raise NotImplementedError

    def rebuilt(self, value: Any, parts: Sequence[Tensor]) -> Any:
        """The value of the same kind with these tensors."""
        raise NotImplementedError

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "shape" in metafunc.fixturenames:
            metafunc.parametrize("shape", self.shapes, ids=lambda shape: "x".join(map(str, shape)))

    def _value(self, shape: tuple[int, ...]) -> Any:
        return self.make(shape, 0, torch.float64)

    @staticmethod
    def _terms(value: Any) -> int:
        return sum(value.shape) + sum(value.ranks)

    @staticmethod
    def _directions(value: Any, count: int) -> dict[int, Tensor]:
        # A seed that no value is made with, or the directions might lie in its span.
        generator = torch.Generator().manual_seed(12345)
        return {
            mode: torch.randn(value.shape[mode], count, generator=generator, dtype=torch.float64)
            for mode in value.modes
        }

    # -- what it is ------------------------------------------------------------------------------------

    def test_shape_and_size(self, shape: tuple[int, ...]) -> None:
        value = self._value(shape)
        assert value.shape == tuple(value.to_dense().shape) == shape
        assert len(value.ranks) == len(shape)
        assert set(value.modes) <= set(range(len(shape)))
        assert value.num_parameters == sum(part.numel() for part in self.parts(value))

    def test_norm_is_that_of_the_dense_tensor(self, shape: tuple[int, ...]) -> None:
        value = self._value(shape)
        assert_same(value.norm(), torch.linalg.vector_norm(value.to_dense()), terms=self._terms(value))

    def test_gradients_through_to_dense(self, shape: tuple[int, ...]) -> None:
        value = self._value(shape)
        parts = [part.detach().requires_grad_() for part in self.parts(value)]
        assert torch.autograd.gradcheck(lambda *given: self.rebuilt(value, given).to_dense(), parts)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
    def test_dtype_is_kept(self, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        value = self.make(shape, 0, dtype)
        directions = {mode: torch.ones(shape[mode], 1, dtype=dtype) for mode in value.modes}
        for result in (value, value.truncate(tolerance=0.1), value.augment(directions)):
            assert {part.dtype for part in self.parts(result)} == {dtype}
            assert result.to_dense().dtype == dtype
        assert value.norm().dtype == dtype

    def test_device_is_kept(self, shape: tuple[int, ...]) -> None:
        value = self._value(shape)
        there = self.rebuilt(value, [part.to("meta") for part in self.parts(value)])
        assert there.to_dense().device.type == there.norm().device.type == "meta"
        assert tuple(there.to_dense().shape) == shape

    # -- truncation ------------------------------------------------------------------------------------

    @pytest.mark.parametrize("tolerance", [0.0, 1e-9, 1e-3, 0.1, 0.5, 0.95])
    def test_truncation_error(self, shape: tuple[int, ...], tolerance: float) -> None:
        value = self._value(shape)
        result, dense = value.truncate(tolerance=tolerance), value.to_dense()
        error = torch.linalg.vector_norm(result.to_dense() - dense)
        rounding = 4 * self._terms(value) * torch.finfo(dense.dtype).eps
        assert error <= (tolerance + rounding) * torch.linalg.vector_norm(dense)
        assert all(new <= old for new, old in zip(result.ranks, value.ranks, strict=True))
        assert result.shape == shape

    def test_truncation_to_ranks(self, shape: tuple[int, ...]) -> None:
        value = self._value(shape)
        for rank in range(1, max(value.ranks[mode] for mode in value.modes) + 1):
            result = value.truncate(ranks=[min(rank, value.ranks[mode]) for mode in value.modes])
            for mode in range(len(shape)):
                if mode in value.modes:
                    assert 1 <= result.ranks[mode] <= rank
                else:
                    assert result.ranks[mode] == shape[mode]
            others = torch.tensor(result.ranks).prod() // torch.tensor(result.ranks)
            assert all(result.ranks[mode] <= others[mode] for mode in value.modes)

    def test_truncation_at_zero_keeps_everything(self, shape: tuple[int, ...]) -> None:
        value = self._value(shape)
        result = value.truncate(tolerance=0.0)
        assert result.ranks == value.ranks
        assert_same(result.to_dense(), value.to_dense(), terms=self._terms(value))

    # -- augmentation ----------------------------------------------------------------------------------

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
