"""What every format keeps."""

import copy
import pickle
from collections.abc import Sequence
from dataclasses import FrozenInstanceError, fields
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from rankfold._errors import NonFiniteError, OptionError, RankError, ShapeError
from rankfold.testing._rounding import assert_same

__all__ = ["FormatContract"]


class FormatContract:
    """Tests of a format; a subclass named ``Test...`` says how to make a value and inherits them.

    A value is a :class:`rankfold.formats.Format` with ``truncate(tolerance=, ranks=)``, ``canonicalize()``,
    ``to_tucker()``, ``to_tensorly()`` and ``from_tensorly(...)``.
    """

    #: The shapes that every test runs over.
    shapes: ClassVar[Sequence[tuple[int, ...]]]

    def make(self, shape: tuple[int, ...], seed: int, dtype: torch.dtype) -> Any:
        """A random value with ranks below the shape, that no truncation at tolerance 0 would lower.

        Its parts should be as general as the format allows, for instance factors that are not orthonormal.
        """
        raise NotImplementedError

    def parts(self, value: Any) -> list[Tensor]:
        """The tensors that a value stores; the tensor is linear in each of them."""
        raise NotImplementedError

    def rebuilt(self, value: Any, parts: Sequence[Tensor]) -> Any:
        """The value of the same kind with these tensors."""
        raise NotImplementedError

    def regauged(self, value: Any) -> Any:
        """The same tensor with the same ranks, stored in another way."""
        raise NotImplementedError

    def free_ranks(self, value: Any) -> tuple[int, ...]:
        """The ranks that a truncation may lower."""
        return value.ranks

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        if "shape" in metafunc.fixturenames:
            metafunc.parametrize("shape", self.shapes, ids=lambda shape: "x".join(map(str, shape)))

    def _value(self, shape: tuple[int, ...], seed: int = 0) -> Any:
        return self.make(shape, seed, torch.float64)

    def _multiplied(self, value: Any, number: float) -> Any:
        first, *rest = self.parts(value)
        return self.rebuilt(value, [first * number, *rest])

    @staticmethod
    def _terms(value: Any) -> int:
        return sum(value.shape) + sum(value.ranks)

    # -- what it is ------------------------------------------------------------------------------------

    def test_shape_and_size(self, shape: tuple[int, ...]) -> None:
        value = self._value(shape)
        assert value.shape == tuple(value.to_dense().shape) == shape
        assert value.order == len(shape)
        assert value.num_parameters == sum(part.numel() for part in self.parts(value))
        assert all(mine is part for mine, part in zip(value.tensors, self.parts(value), strict=True))

    def test_reads_in_one_line(self, shape: tuple[int, ...]) -> None:
        value = self._value(shape)
        text = repr(value)
        assert text.startswith(f"{type(value).__name__}(shape={shape}, rank")
        assert text.endswith(", float64)")
        assert repr(value.to(device="meta")).endswith(", float64, meta)")

    def test_is_frozen(self) -> None:
        value = self._value(self.shapes[0])
        for field in fields(value):
            with pytest.raises(FrozenInstanceError):
                setattr(value, field.name, None)

    def test_copies_are_independent(self, shape: tuple[int, ...]) -> None:
        value = self._value(shape)
        dense = value.to_dense()
        copies = [copy.deepcopy(value), pickle.loads(pickle.dumps(value))]
        for part in self.parts(value):
            part.zero_()
        assert all(torch.equal(other.to_dense(), dense) for other in copies)

    def test_nothing_changes_the_value(self, shape: tuple[int, ...]) -> None:
        value, other = self._value(shape), self._value(shape, 1)
        before = [part.clone() for part in self.parts(value)]
        value.to_dense().zero_()
        for function in (value.norm, value.canonicalize, value.to_tucker, value.to_tensorly):
            function()
        for options in ({"tolerance": 0.5}, {"ranks": 1}):
            value.truncate(**options)
        value.inner(other)
        other.inner(value)
        assert all(torch.equal(new, old) for new, old in zip(self.parts(value), before, strict=True))

    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
    def test_dtype_is_kept(self, shape: tuple[int, ...], dtype: torch.dtype) -> None:
        value = self.make(shape, 0, dtype)
        for result in (value, value.truncate(tolerance=0.1), value.canonicalize(), value.to_tucker()):
            assert result.dtype == dtype
            assert {part.dtype for part in result.tensors} == {dtype}
            assert result.to_dense().dtype == dtype
        assert value.norm().dtype == value.inner(value).dtype == dtype

    def test_moves_to_another_dtype_and_device(self, shape: tuple[int, ...]) -> None:
        value = self._value(shape)
        single = value.to(dtype=torch.float32)
        assert single.dtype == torch.float32
        assert_same(single.to_dense(), value.to_dense(), terms=self._terms(value))
        assert value.to(device="meta").device.type == "meta"
        assert value.to(device="meta").shape == shape

    def test_device_is_kept(self, shape: tuple[int, ...]) -> None:
        value = self._value(shape)
        there = self.rebuilt(value, [part.to("meta") for part in self.parts(value)])
        for result in (there.to_dense(), there.norm(), there.inner(there)):
            assert result.device.type == "meta"
        assert tuple(there.to_dense().shape) == shape

    # -- norms and products ----------------------------------------------------------------------------

    def test_norm_is_that_of_the_dense_tensor(self, shape: tuple[int, ...]) -> None:
        value = self._value(shape)
        assert_same(value.norm(), torch.linalg.vector_norm(value.to_dense()), terms=self._terms(value))

    @pytest.mark.parametrize("number", [1e-150, 1e-30, 1e150, 1e200])
    def test_large_and_small_tensors(self, shape: tuple[int, ...], number: float) -> None:
        value = self._value(shape)
        norm, scaled = value.norm(), self._multiplied(value, number)
        assert_same(scaled.norm() / number, norm, terms=self._terms(value))
        balanced = self._multiplied(self._value(shape, 1), 1 / number)
        assert_same(
            scaled.inner(balanced), value.inner(self._value(shape, 1)), terms=100 * self._terms(value)
        )
        if number < 1e200:  # squares of entries stay in range
            for tolerance in (1e-3, 0.5):
                result = scaled.truncate(tolerance=tolerance)
                assert result.ranks == value.truncate(tolerance=tolerance).ranks
                error = torch.linalg.vector_norm((result.to_dense() - scaled.to_dense()) / number)
                assert error <= tolerance * norm

    def test_inner_product_is_that_of_the_dense_tensors(self, shape: tuple[int, ...]) -> None:
        value, other = self._value(shape), self._value(shape, 1)
        expected = (value.to_dense() * other.to_dense()).sum()
        rounding = 4 * self._terms(value) * torch.finfo(expected.dtype).eps
        assert (value.inner(other) - expected).abs() <= rounding * value.norm() * other.norm()
        assert_same(value.inner(value), value.norm() ** 2, terms=self._terms(value))
        assert value.inner(self._multiplied(value, 0.0)) == 0

    def test_inner_product_of_what_does_not_fit(self) -> None:
        value = self._value(self.shapes[0])
        others = [self._value(self.shapes[1]), value.to(dtype=torch.float32), value.to(device="meta")]
        for other in others:
            with pytest.raises(ShapeError, match="shapes must be equal"):
                value.inner(other)
        with pytest.raises(ShapeError, match="got a Tensor; pass a Tucker"):
            value.inner(value.to_dense())

    def test_gradients(self, shape: tuple[int, ...]) -> None:
        value, other = self._value(shape), self._value(shape, 1)
        parts = [part.detach().requires_grad_() for part in self.parts(value)]
        for function in (
            lambda *given: self.rebuilt(value, given).to_dense(),
            lambda *given: self.rebuilt(value, given).norm(),
            lambda *given: self.rebuilt(value, given).inner(other),
        ):
            assert torch.autograd.gradcheck(function, parts)

    def test_mode_products(self, shape: tuple[int, ...]) -> None:
        value = self._value(shape)
        matrix = torch.randn(6, shape[-1], dtype=torch.float64)
        result, expected = value.mode_products({len(shape) - 1: matrix}), value.to_dense() @ matrix.mT
        assert result.shape == (*shape[:-1], 6)
        assert_same(result.to_dense(), expected, terms=self._terms(result))

    # -- the sums over rank indices --------------------------------------------------------------------

    def test_latent_axes_are_the_free_ranks(self, shape: tuple[int, ...]) -> None:
        value = self._value(shape)
        assert tuple(value.latent_axes().values()) == self.free_ranks(value)
        assert len(set(value.latent_axes())) == len(self.free_ranks(value))

    def test_the_tensor_is_the_sum_of_its_terms(self, shape: tuple[int, ...]) -> None:
        value = self._value(shape)
        for axis, size in value.latent_axes().items():
            numbers = torch.randn(size, dtype=torch.float64)
            terms = [value.select_latent(axis, [index]) for index in range(size)]
            assert all(term.latent_axes()[axis] == 1 for term in terms)
            parts = torch.stack([term.to_dense() for term in terms])
            # Terms that cancel leave their rounding.
            allowed = 4 * self._terms(value) * torch.finfo(torch.float64).eps * parts.norm() * size
            for vector in (torch.ones_like(numbers), numbers):
                scaled = value.scale_latent(axis, vector)
                expected = torch.tensordot(vector, parts, 1)
                assert torch.linalg.vector_norm(scaled.to_dense() - expected) <= allowed * vector.norm()
                assert scaled.latent_axes() == value.latent_axes()

    def test_scaling_by_ones_changes_nothing(self, shape: tuple[int, ...]) -> None:
        value = self._value(shape)
        for axis, size in value.latent_axes().items():
            same = value.scale_latent(axis, torch.ones(size))  # of another precision
            assert all(torch.equal(a, b) for a, b in zip(same.tensors, value.tensors, strict=True))
            every = value.select_latent(axis, torch.arange(size))
            assert all(torch.equal(a, b) for a, b in zip(every.tensors, value.tensors, strict=True))

    def test_scaling_by_zero_is_leaving_out(self, shape: tuple[int, ...]) -> None:
        value = self._value(shape)
        for axis, size in value.latent_axes().items():
            for index in range(size):
                gates = torch.ones(size, dtype=torch.float64)
                gates[index] = 0
                gated = value.scale_latent(axis, gates)
                rest = [other for other in range(size) if other != index]
                expected = value.select_latent(axis, rest).to_dense() if rest else torch.zeros(shape).double()
                scale = torch.linalg.vector_norm(value.to_dense()) + torch.linalg.vector_norm(expected)
                allowed = 4 * self._terms(value) * torch.finfo(torch.float64).eps * scale
                assert torch.linalg.vector_norm(gated.to_dense() - expected) <= allowed

    def test_gradients_of_the_scales(self, shape: tuple[int, ...]) -> None:
        value = self._value(shape)
        for axis, size in value.latent_axes().items():
            vector = torch.randn(size, dtype=torch.float64).requires_grad_()
            parts = [part.detach().requires_grad_() for part in self.parts(value)]

            def function(vector: Tensor, *given: Tensor, axis: str = axis) -> Tensor:
                return self.rebuilt(value, given).scale_latent(axis, vector).to_dense()

            assert torch.autograd.gradcheck(function, (vector, *parts))

    def test_latent_axes_that_are_none(self) -> None:
        value = self._value(self.shapes[0])
        axis, size = next(iter(value.latent_axes().items()))
        for function in (
            lambda: value.scale_latent("none", torch.ones(1)),
            lambda: value.select_latent("", [0]),
        ):
            with pytest.raises(OptionError, match=f"unknown axis '.*'; known are '{axis}'"):
                function()
        for vector in (torch.ones(size + 1), torch.ones(size, 1), torch.ones(())):
            with pytest.raises(ShapeError, match=rf"takes one of shape \({size},\)"):
                value.scale_latent(axis, vector)
        for indices in ([], [-1], [size], [[0]], [0.0], [True]):
            with pytest.raises(RankError, match=rf"whole numbers in 0\.\.{size - 1}"):
                value.select_latent(axis, indices)

    # -- other forms -----------------------------------------------------------------------------------

    def test_canonical_form(self, shape: tuple[int, ...]) -> None:
        value = self._value(shape)
        canonical, other = value.canonicalize(), self.regauged(value)
        assert_same(other.to_dense(), value.to_dense(), terms=self._terms(value))
        assert not all(torch.equal(a, b) for a, b in zip(value.tensors, other.tensors, strict=True))
        assert_same(canonical.to_dense(), value.to_dense(), terms=self._terms(value))
        # Singular vectors lose digits where singular values are close; the values are of order one here.
        for again in (canonical.canonicalize(), other.canonicalize()):
            for new, old in zip(again.tensors, canonical.tensors, strict=True):
                assert torch.allclose(new, old, rtol=0, atol=1e-9 * float(old.abs().amax()))

    def test_as_tucker(self, shape: tuple[int, ...]) -> None:
        value = self._value(shape)
        tucker = value.to_tucker()
        assert type(tucker).__name__ == "Tucker"
        assert tucker.orthonormality_defect() <= 4 * max(shape) * torch.finfo(torch.float64).eps
        assert_same(tucker.to_dense(), value.to_dense(), terms=self._terms(value))
        assert_same(torch.linalg.vector_norm(tucker.core), value.norm(), terms=self._terms(value))

    def test_to_tensorly_and_back(self, shape: tuple[int, ...]) -> None:
        value = self._value(shape)
        back = type(value).from_tensorly(value.to_tensorly())
        assert_same(back.to_dense(), value.to_dense(), terms=self._terms(value))

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
        for rank in range(1, max(self.free_ranks(value)) + 1):
            result = value.truncate(ranks=rank)
            assert result.shape == shape
            assert all(1 <= free <= rank for free in self.free_ranks(result))
        full = value.truncate(ranks=max(self.free_ranks(value)))
        assert_same(full.to_dense(), value.to_dense(), terms=self._terms(value))
        assert torch.linalg.vector_norm(value.truncate(ranks=1).to_dense() - value.to_dense()) <= value.norm()

    def test_truncation_at_zero_keeps_everything(self, shape: tuple[int, ...]) -> None:
        value = self._value(shape)
        result = value.truncate(tolerance=0.0)
        assert result.ranks == value.ranks
        assert_same(result.to_dense(), value.to_dense(), terms=self._terms(value))

    def test_zero(self, shape: tuple[int, ...]) -> None:
        value = self._value(shape)
        zero = self.rebuilt(value, [torch.zeros_like(part) for part in self.parts(value)])
        assert zero.norm() == 0
        for result in (zero.truncate(tolerance=0.1), zero.canonicalize(), zero.to_tucker()):
            assert torch.equal(result.to_dense(), torch.zeros(shape, dtype=torch.float64))
        assert set(self.free_ranks(zero.truncate(tolerance=0.0))) == {1}

    @pytest.mark.parametrize("number", [float("nan"), float("inf")])
    def test_not_finite(self, number: float) -> None:
        value = self._multiplied(self._value(self.shapes[0]), number)
        for options in ({"tolerance": 0.1}, {"ranks": 1}):
            with pytest.raises(NonFiniteError, match="NaN or infinity"):
                value.truncate(**options)
        assert not value.norm().isfinite()

    def test_truncation_options(self) -> None:
        value = self._value(self.shapes[0])
        for options in ({}, {"tolerance": 0.1, "ranks": 1}):
            with pytest.raises(OptionError, match="exactly one of"):
                value.truncate(**options)
        for tolerance in (-0.1, 1.0, float("nan")):
            with pytest.raises(OptionError, match=r"\[0, 1\)"):
                value.truncate(tolerance=tolerance)
        for ranks in (0, -1, True, 100, 1.5, "1", (1,) * 9, (0,) * len(self.free_ranks(value))):
            with pytest.raises(RankError, match=rf"{type(value).__name__}\.truncate"):
                value.truncate(ranks=ranks)
