"""What every CP solver keeps."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from rankfold._errors import OptionError, RankError, ShapeError
from rankfold.decompose import METHODS, CPDecomposition, Method, TracePoint, cp
from rankfold.formats import CP, factor_match_score

__all__ = ["SolverContract"]

# Shape and rank of tensors that every solver should find: components nearly orthogonal, weights nearly equal.
_EASY = (((6, 5, 4), 2), ((4, 3, 5, 3), 2), ((6, 4), 2), ((6, 5, 4), 1), ((5, 1, 4), 2), ((1, 1, 1), 1))
_SHAPE, _RANK = _EASY[0]
_OPTIONS: dict[str, tuple[dict[str, Any], str]] = {
    "masked": ({"mask": "nan"}, "a mask"),
    "nonnegative": ({"nonnegative": True}, "nonnegative=True"),
    "poisson": ({"loss": "poisson"}, "loss='poisson'"),
}


class SolverContract:
    """Tests of a CP method; a subclass named ``Test...`` says which and inherits them.

    What the method takes (masks, sparse tensors, ...) is read from its record: it is tested where it is taken, and has
    to be refused where it is not.
    """

    #: The name in ``rankfold.decompose.METHODS``, or the record.
    method: ClassVar[str | Method]
    #: Relative error that the method reaches on an easy exact tensor in float64.
    accuracy: ClassVar[float] = 1e-6
    #: The same in float32.
    single_accuracy: ClassVar[float] = 1e-5

    def allowed(self, shape: tuple[int, ...], rank: int) -> bool:
        """Whether the method can look for so many components in this shape; it raises RankError where not."""
        return True

    # -- helpers ---------------------------------------------------------------------------------------

    @property
    def _record(self) -> Method:
        return self.method if isinstance(self.method, Method) else METHODS[self.method]

    def _takes(self, feature: str) -> bool:
        return feature in self._record.takes

    def _need(self, feature: str) -> None:
        if not self._takes(feature):
            pytest.skip(f"{self._record.name} is not made for this: {feature}")

    def _solve(self, x: Any, rank: int = _RANK, *, seed: int = 0, **options: Any) -> CPDecomposition:
        return cp(x, rank, method=self.method, generator=seed, **options)

    def _truth(self, shape: tuple[int, ...] = _SHAPE, rank: int = _RANK, *, nonnegative: bool = False) -> CP:
        # The seed has nothing in common with those that the solver gets: it must not start at the answer.
        generator = torch.Generator().manual_seed(4711)
        factors = []
        for size in shape:
            factor = torch.eye(size, rank, dtype=torch.float64)
            factor += 0.2 * torch.rand(size, rank, generator=generator, dtype=torch.float64)
            factors.append(
                factor if nonnegative else factor[torch.randperm(size, generator=generator)] - 0.05
            )
        return CP(torch.linspace(2, 1, rank, dtype=torch.float64), tuple(factors))

    def _noisy(self) -> Tensor:
        generator = torch.Generator().manual_seed(1174)
        dense = self._truth().to_dense()
        return dense + 0.05 * torch.randn(dense.shape, generator=generator, dtype=torch.float64)

    def _mask(self, shape: tuple[int, ...] = _SHAPE) -> Tensor:
        """A quarter of the entries hidden, none of the slices."""
        return torch.rand(shape, generator=torch.Generator().manual_seed(2718)) > 0.25

    @staticmethod
    def _distance(a: Any, b: Tensor) -> float:
        difference = a.to_dense().double() - b.double()
        return float(torch.linalg.vector_norm(difference) / torch.linalg.vector_norm(b.double()))

    @staticmethod
    def _equal(a: CPDecomposition, b: CPDecomposition) -> bool:
        return all(torch.equal(x, y) for x, y in zip(a.tensor.tensors, b.tensor.tensors, strict=True))

    @staticmethod
    def _valid(result: CPDecomposition, x: Tensor, rank: int) -> None:
        """Canonical, finite, of the input's shape and dtype, with the error that it says."""
        model = result.tensor
        assert (model.shape, model.rank, model.dtype) == (tuple(x.shape), rank, x.dtype)
        assert all(bool(part.isfinite().all()) for part in model.tensors)
        eps = torch.finfo(x.dtype).eps
        for factor in model.factors:
            norms = torch.linalg.vector_norm(factor.double(), dim=0)
            assert bool(((norms - 1).abs() <= 10 * eps * x.ndim).logical_or(model.weights == 0).all())
        assert bool((model.weights >= 0).all())
        assert bool((model.weights[:-1] >= model.weights[1:]).all())
        # Rounding an exact fit to the input's precision costs eps for each component.
        parts = float(torch.linalg.vector_norm(model.weights.double())) / float(torch.linalg.vector_norm(x))
        assert abs(result.relative_error - SolverContract._distance(model, x)) <= 50 * eps * (
            1 + rank * parts
        )

    # -- what it finds ---------------------------------------------------------------------------------

    @pytest.mark.parametrize(("shape", "rank"), _EASY, ids=str)
    def test_finds_easy_tensors(self, shape: tuple[int, ...], rank: int) -> None:
        truth = self._truth(shape, rank)
        x = truth.to_dense()
        if not self.allowed(shape, rank):
            with pytest.raises(RankError, match=rf"^cp: the method '{self._record.name}' .*rank"):
                self._solve(x, rank)
            return
        result = self._solve(x, rank)
        self._valid(result, x, rank)
        assert result.method == self._record.name
        assert result.relative_error <= self.accuracy
        # With two modes or one component per slice more than one answer is exact.
        if sum(size >= 2 for size in shape) >= 3:
            assert factor_match_score(truth, result.tensor) > 1 - 100 * self.accuracy

    def test_finds_easy_tensors_in_float32(self) -> None:
        for shape, rank in (item for item in _EASY if self.allowed(*item)):
            x = self._truth(shape, rank).to_dense().float()
            result = self._solve(x, rank)
            self._valid(result, x, rank)
            assert result.relative_error <= self.single_accuracy

    def test_half_precision_becomes_single(self) -> None:
        result = self._solve(self._truth().to_dense().bfloat16())
        assert result.tensor.dtype == torch.float32
        assert result.relative_error < 0.01

    def test_largest_rank(self) -> None:
        x = torch.randn(3, 2, 2, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
        rank = 4
        if self.allowed((3, 2, 2), rank):
            result = self._solve(x, rank)
            self._valid(result, x, rank)
            assert result.relative_error < 1e-3
        else:
            with pytest.raises(RankError):
                self._solve(x, rank)

    def test_noise_is_left_over(self) -> None:
        x = self._noisy()
        result = self._solve(x)
        self._valid(result, x, _RANK)
        assert factor_match_score(self._truth(), result.tensor) > 0.97
        assert result.relative_error < self._distance(self._truth(), x)

    def test_zero_slices_are_allowed(self) -> None:
        x = self._truth().to_dense()
        x[3], x[:, 4] = 0, 0
        result = self._solve(x)
        self._valid(result, x, _RANK)
        assert result.relative_error <= self.accuracy
        assert float(result.tensor.factors[0][3].abs().max()) <= 10 * self.accuracy

    # -- what changes nothing --------------------------------------------------------------------------

    def test_order_of_the_modes(self) -> None:
        x = self._noisy()
        first, second = self._solve(x).tensor, self._solve(x.permute(2, 0, 1)).tensor
        moved = CP(second.weights, (second.factors[1], second.factors[2], second.factors[0]))
        assert self._distance(moved, first.to_dense()) <= 100 * self.accuracy

    @pytest.mark.parametrize("number", [1e100, 1e-100, 1e30, 1e-30])
    def test_scale(self, number: float) -> None:
        x = self._noisy()
        if 1e-90 < number < 1e90:
            x = x.float()
        plain, scaled = self._solve(x), self._solve(x * number)
        tolerance = 100 * (self.accuracy if x.dtype == torch.float64 else self.single_accuracy)
        again = CP(scaled.tensor.weights / number, scaled.tensor.factors)
        assert self._distance(again, plain.tensor.to_dense()) <= tolerance
        assert scaled.relative_error == pytest.approx(plain.relative_error, rel=tolerance)

    def test_same_seed_same_answer(self) -> None:
        x = self._noisy()
        state = torch.get_rng_state()
        first = self._solve(x)
        assert self._equal(first, self._solve(x))
        assert torch.equal(torch.get_rng_state(), state)
        by_generator = cp(x, _RANK, method=self.method, generator=torch.Generator().manual_seed(0))
        assert self._equal(first, by_generator)

    def test_other_seed_other_start(self) -> None:
        # Nothing but noise, which has many local minima.
        x = torch.randn(4, 4, 4, generator=torch.Generator().manual_seed(99), dtype=torch.float64)
        assert not self._equal(self._solve(x, 3), self._solve(x, 3, seed=1))

    def test_global_generator_is_the_default(self) -> None:
        x = self._noisy()
        torch.manual_seed(3)
        first = cp(x, _RANK, method=self.method)
        torch.manual_seed(3)
        assert self._equal(first, cp(x, _RANK, method=self.method))

    def test_kind_of_input(self) -> None:
        x = self._noisy()
        plain = self._solve(x)
        assert self._equal(plain, self._solve(x.clone().requires_grad_()))
        assert self._equal(plain, self._solve(x.numpy()))
        strided = torch.empty(4, 6, 5, 2, dtype=x.dtype)[..., 0].permute(1, 2, 0).copy_(x)
        assert not strided.is_contiguous()
        result = self._solve(strided)
        assert self._distance(result.tensor, plain.tensor.to_dense()) <= 100 * self.accuracy
        assert not any(part.requires_grad for part in self._solve(x.requires_grad_()).tensor.tensors)

    def test_input_is_not_changed(self) -> None:
        x = self._noisy()
        before = x.clone()
        self._solve(x)
        assert torch.equal(x, before)

    # -- callback --------------------------------------------------------------------------------------

    def test_callback_sees_the_trace(self) -> None:
        seen: list[TracePoint] = []
        result = self._solve(self._noisy(), callback=seen.append)
        assert tuple(seen) == result.trace
        assert all(a.seconds <= b.seconds for a, b in pairwise(seen))
        assert all(0 <= point.relative_error < float("inf") for point in seen)
        assert seen[-1].relative_error == result.relative_error

    def test_callback_stops(self) -> None:
        x = self._noisy()
        full = self._solve(x, restarts=4)
        for patience in (1, 3):
            seen: list[TracePoint] = []

            def stop(point: TracePoint, seen: list[TracePoint] = seen, patience: int = patience) -> bool:
                seen.append(point)
                return len(seen) >= patience

            result = self._solve(x, restarts=4, callback=stop)
            self._valid(result, x, result.rank)
            assert 1 <= result.rank <= _RANK
            assert len(result.trace) <= min(patience + 3, len(full.trace))
            # A run that starts at its end has nothing to report.
            assert result.agreement.runs <= patience + 1

    # -- what it takes ---------------------------------------------------------------------------------

    def test_refuses_what_it_does_not_take(self) -> None:
        x = self._truth().to_dense()
        options = dict(_OPTIONS, init=({"init": self._truth()}, "init"))
        for feature, (option, words) in options.items():
            if not self._takes(feature):
                with pytest.raises(OptionError) as raised:
                    self._solve(x, **option)
                self._names_those_that_do(str(raised.value), feature, words)
        if not self._takes("sparse"):
            with pytest.raises(OptionError) as raised:
                self._solve(x.to_sparse())
            self._names_those_that_do(str(raised.value), "sparse", "a sparse tensor")

    def _names_those_that_do(self, message: str, feature: str, words: str) -> None:
        assert message.startswith(f"cp: the method '{self._record.name}' does not take {words}; ")
        able = [name for name, method in METHODS.items() if feature in method.takes]
        assert able
        assert all(name in message for name in able)

    def test_gaps_are_filled(self) -> None:
        self._need("masked")
        x, mask = self._truth().to_dense(), self._mask()
        before = mask.clone()
        result = self._solve(x, mask=mask)
        assert torch.equal(mask, before)
        assert result.relative_error <= self.accuracy
        assert self._distance(result.tensor, x) <= 100 * self.accuracy
        assert result.core_consistency is None

    def test_error_is_over_the_observed_entries(self) -> None:
        self._need("masked")
        x, mask = self._noisy(), self._mask()
        result = self._solve(x, mask=mask)
        left = torch.linalg.vector_norm((result.tensor.to_dense() - x)[mask])
        expected = float(left / torch.linalg.vector_norm(x[mask]))
        assert result.relative_error == pytest.approx(expected, rel=1e-9)

    def test_hidden_entries_do_not_matter(self) -> None:
        self._need("masked")
        x, mask = self._noisy(), self._mask()
        plain = self._solve(x, mask=mask)
        strange = torch.tensor([1e200, float("nan"), float("inf")], dtype=x.dtype)
        other = torch.where(mask, x, strange[torch.arange(x.numel()).view(x.shape) % 3])
        assert self._equal(plain, self._solve(other.numpy(), mask=mask.numpy()))
        assert self._equal(plain, self._solve(torch.where(mask, x, float("nan")), mask="nan"))
        full = torch.ones_like(mask)
        assert self._equal(self._solve(x), self._solve(x, mask=full))

    def test_nonnegative_factors(self) -> None:
        self._need("nonnegative")
        truth = self._truth(nonnegative=True)
        result = self._solve(truth.to_dense(), nonnegative=True)
        self._valid(result, truth.to_dense(), _RANK)
        assert all(bool((part >= 0).all()) for part in result.tensor.tensors)
        assert result.relative_error <= 1e-3
        # Data with other signs are fitted as far as these allow.
        result = self._solve(self._noisy(), nonnegative=True)
        assert all(bool((part >= 0).all()) for part in result.tensor.tensors)
        assert result.relative_error < 1
        if self._takes("masked"):
            result = self._solve(truth.to_dense(), nonnegative=True, mask=self._mask())
            assert all(bool((part >= 0).all()) for part in result.tensor.tensors)
            assert self._distance(result.tensor, truth.to_dense()) <= 0.02

    def test_sparse_tensors(self) -> None:
        self._need("sparse")
        x = self._noisy()
        x[x.abs() < 0.3] = 0
        listed = x.to_sparse()
        indices, values = listed.indices().clone(), listed.values().clone()
        sparse, dense = self._solve(listed), self._solve(x)
        assert torch.equal(listed.indices(), indices)
        assert torch.equal(listed.values(), values)
        self._valid(sparse, x, _RANK)
        # The loss of a sparse tensor keeps half the digits.
        assert self._distance(sparse.tensor, dense.tensor.to_dense()) <= 1e-3
        assert sparse.relative_error == pytest.approx(dense.relative_error, rel=1e-6)
        assert self._solve(x.float().to_sparse()).tensor.dtype == torch.float32

    def test_symmetric_tensors(self) -> None:
        vectors = self._truth((5, 5), 2).factors[0]
        x = torch.einsum("ir,jr,kr->ijk", vectors, vectors, vectors)
        result = self._solve(x, symmetric=True)
        self._valid(result, x, 2)
        assert result.relative_error <= self.accuracy
        for factor in result.tensor.factors[1:]:
            same = (factor - result.tensor.factors[0]).abs().amax(dim=0)
            opposite = (factor + result.tensor.factors[0]).abs().amax(dim=0)
            assert bool((torch.minimum(same, opposite) <= 1e-12).all())
        with pytest.raises(ShapeError, match="symmetric"):
            self._solve(self._noisy(), symmetric=True)

    def test_counts(self) -> None:
        self._need("poisson")
        rates = 20 * self._truth(nonnegative=True).to_dense()
        counts = torch.poisson(rates, generator=torch.Generator().manual_seed(8))
        result = self._solve(counts, loss="poisson")
        assert all(bool((part >= 0).all()) for part in result.tensor.tensors)
        # The gradient by the weights vanishes only where the model adds up to the data.
        assert float(result.tensor.to_dense().sum()) == pytest.approx(float(counts.sum()), rel=1e-6)
        assert factor_match_score(self._truth(nonnegative=True), result.tensor) > 0.9

    def test_start_from_given_factors(self) -> None:
        self._need("init")
        truth, x = self._truth(), self._truth().to_dense()
        before = [part.clone() for part in truth.tensors]
        result = self._solve(x, init=truth)
        assert result.relative_error <= 1e-7
        assert len(result.trace) <= 5
        assert all(torch.equal(new, old) for new, old in zip(truth.tensors, before, strict=True))
        assert self._equal(self._solve(x, init=truth), self._solve(x, init=truth, seed=1))
        wrong: Sequence[tuple[CP, int]] = (
            (self._truth((6, 5, 3)), 2),
            (self._truth((6, 5)), 2),
            (truth, 3),
        )
        for init, rank in wrong:
            with pytest.raises(ShapeError, match=r"init has shape .* pass an init of the same shape"):
                self._solve(x, rank, init=init)
