"""Complete dense tensors against HOOI written out with full SVDs, and against tensorly."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rankfold import Tucker
from rankfold._errors import NonFiniteError, OptionError, RankError, ShapeError
from rankfold.decompose import _tucker_bases
from rankfold.decompose._result import TracePoint
from rankfold.decompose._tucker import tucker
from rankfold.linalg import mode_product, unfold

EPS = torch.finfo(torch.float64).eps


def low_rank(shape: tuple[int, ...], ranks: tuple[int, ...], noise: float = 0.0) -> Tensor:
    factors = tuple(torch.randn(n, r, dtype=torch.float64) for n, r in zip(shape, ranks, strict=True))
    tensor = Tucker(torch.randn(ranks, dtype=torch.float64), factors).to_dense()
    disturbance = torch.randn(shape, dtype=torch.float64)
    return tensor + noise * tensor.norm() / disturbance.norm() * disturbance


def true_error(tensor: Tensor, model: Tucker) -> float:
    dense = model.to_dense()
    return float((dense.double() - tensor.double()).norm() / tensor.double().norm())


def plain_sweep(tensor: Tensor, bases: list[Tensor], ranks: tuple[int, ...]) -> list[Tensor]:
    bases = list(bases)
    for mode in range(tensor.ndim):
        work = tensor
        for other in range(tensor.ndim):
            if other != mode:
                work = mode_product(work, bases[other].mT, other)
        bases[mode] = torch.linalg.svd(unfold(work, mode), full_matrices=False).U[:, : ranks[mode]]
    return bases


def plain_error(tensor: Tensor, bases: list[Tensor]) -> float:
    core = tensor
    for mode, basis in enumerate(bases):
        core = mode_product(core, basis.mT, mode)
    return float((1 - core.norm() ** 2 / tensor.norm() ** 2).clamp_min(0).sqrt())


@pytest.mark.parametrize("noise", [0.01, 0.3])
@pytest.mark.parametrize(
    ("shape", "ranks"), [((12, 13, 14), (3, 4, 5)), ((9, 6, 7, 8), (3, 2, 2, 3)), ((15, 20), (4, 4))]
)
def test_error_is_that_of_plain_hooi(shape: tuple[int, ...], ranks: tuple[int, ...], noise: float) -> None:
    tensor = low_rank(shape, ranks, noise)
    found = tucker(tensor, ranks)
    bases = [torch.linalg.svd(unfold(tensor, m), full_matrices=False).U[:, :r] for m, r in enumerate(ranks)]
    for _ in range(30):
        bases = plain_sweep(tensor, bases, ranks)
    assert found.method == "hooi"
    assert found.tensor.ranks == ranks
    assert found.relative_error <= 1.0005 * plain_error(tensor, bases)
    assert found.relative_error == pytest.approx(true_error(tensor, found.tensor), rel=1e-6)


def test_result_cannot_be_improved_by_a_plain_sweep() -> None:
    tensor = torch.randn(10, 11, 12, dtype=torch.float64)
    ranks = (3, 4, 2)
    found = tucker(tensor, ranks)
    start = tucker(tensor, ranks, method="st_hosvd")
    assert found.relative_error < start.relative_error * (1 - 1e-4)
    bases = plain_sweep(tensor, list(found.tensor.factors), ranks)
    before, after = found.relative_error**2, plain_error(tensor, bases) ** 2
    assert before - after <= 2e-5 * before


def test_error_is_no_worse_than_of_tensorly() -> None:
    tensorly = pytest.importorskip("tensorly")
    from tensorly.decomposition import tucker as peer

    tensor = low_rank((20, 25, 30), (5, 5, 5), 0.05)
    core, factors = peer(tensor.numpy(), rank=[4, 4, 4])
    theirs = tensorly.norm(tensorly.tucker_to_tensor((core, factors)) - tensor.numpy()) / float(tensor.norm())
    assert tucker(tensor, 4).relative_error <= 1.0005 * theirs


@given(
    shape=st.lists(st.sampled_from([1, 2, 3, 5, 12]), min_size=2, max_size=4).map(tuple),
    tolerance=st.sampled_from([0.0, 1e-9, 1e-4, 0.01, 0.1, 0.5, 0.99]),
    scale=st.sampled_from([1e-200, 1e-20, 1.0, 1e20, 1e200]),
    method=st.sampled_from(["auto", "hooi"]),
    seed=st.integers(0, 99),
    zeros=st.booleans(),
)
def test_tolerance_is_kept(
    shape: tuple[int, ...], tolerance: float, scale: float, method: Any, seed: int, zeros: bool
) -> None:
    torch.manual_seed(seed)
    tensor = torch.randn(shape, dtype=torch.float64) ** 3 * scale
    if zeros:
        tensor[0] = 0
        tensor[..., -1] = 0
    found = tucker(tensor, tolerance=tolerance, method=method)
    largest = float(tensor.abs().amax())
    if largest == 0:
        assert found.tensor.ranks == (1,) * tensor.ndim
        assert found.relative_error == 0
        return
    rounding = 16 * tensor.ndim * sum(shape) * EPS
    error = true_error(tensor / largest, Tucker(found.tensor.core / largest, found.tensor.factors))
    assert error <= tolerance + rounding
    assert found.relative_error == pytest.approx(error, rel=1e-3, abs=rounding)


@pytest.mark.parametrize("energy", [0.3, 0.9, 0.9999, 1.0])
def test_energy_is_kept(energy: float) -> None:
    tensor = low_rank((8, 9, 10), (5, 5, 5), 0.1)
    found = tucker(tensor, energy=energy)
    assert float(found.tensor.norm()) ** 2 >= energy * float(tensor.norm()) ** 2 * (1 - 1e-12)
    assert found.tensor.num_parameters == tucker(tensor, tolerance=(1 - energy) ** 0.5).tensor.num_parameters


def test_bases_are_orthonormal_and_the_core_in_hosvd_form() -> None:
    model = tucker(low_rank((8, 9, 10), (3, 3, 3), 0.1), 3).tensor
    assert model.orthonormality_defect() <= 100 * EPS
    assert model.is_rotated()


def test_exact_low_rank_is_found_to_all_digits() -> None:
    found = tucker(low_rank((20, 21, 22), (2, 3, 4)), (2, 3, 4))
    assert found.relative_error <= 1e-14


def test_higher_ranks_than_needed() -> None:
    tensor = low_rank((6, 7, 8), (1, 2, 2))
    found = tucker(tensor, (3, 3, 3))
    assert found.tensor.ranks == (3, 3, 3)
    assert found.relative_error <= 1e-13
    assert found.tensor.orthonormality_defect() <= 100 * EPS


def test_ranks_above_the_product_of_the_others_are_lowered() -> None:
    assert tucker(torch.randn(6, 3, 3), (6, 1, 2)).tensor.ranks == (2, 1, 2)


@pytest.mark.parametrize("method", ["st_hosvd", "randomized"])
def test_other_methods_are_nearly_as_good(method: Any) -> None:
    tensor = low_rank((30, 31, 32), (4, 4, 4), 0.02)
    found = tucker(tensor, 4, method=method, generator=0)
    assert found.method == method
    assert found.relative_error <= 1.001 * tucker(tensor, 4).relative_error
    again = tucker(tensor, 4, method=method, generator=torch.Generator().manual_seed(0))
    assert torch.equal(found.tensor.core, again.tensor.core)


def test_float32_gram_matrices_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    tensor = low_rank((30, 31, 32), (4, 4, 4), 0.02)
    exact = tucker(tensor, 4, method="st_hosvd").relative_error
    used: list[bool] = []
    judge = _tucker_bases._is_harmless

    def judged(squares: Tensor, rank: int) -> bool:
        used.append(judge(squares, rank))
        return used[-1]

    monkeypatch.setattr(_tucker_bases, "_LARGE", 0)
    monkeypatch.setattr(_tucker_bases, "_is_harmless", judged)
    assert tucker(tensor, 4, method="st_hosvd").relative_error == pytest.approx(exact, rel=1e-6)
    assert used == [True, True]  # the third unfolding is tall, and its smaller Gram matrix in float64
    used.clear()
    # Without noise, and with directions 1e-6 of the largest, float32 would lose some: float64 takes over.
    small = low_rank((30, 31, 32), (3, 3, 3)) + 1e-6 * low_rank((30, 31, 32), (1, 1, 1))
    assert tucker(small, 4, method="st_hosvd").relative_error <= 1e-8
    assert not any(used)


def test_input_is_not_changed_and_arrays_are_taken() -> None:
    tensor = low_rank((5, 6, 7), (2, 2, 2), 0.1)
    before = tensor.clone()
    found = tucker(tensor, 2)
    assert torch.equal(tensor, before)
    assert torch.equal(tucker(tensor.numpy(), 2).tensor.core, found.tensor.core)
    turned = tensor.permute(2, 0, 1)
    assert tucker(turned, 2).relative_error == pytest.approx(found.relative_error, rel=1e-4)


def test_float32() -> None:
    tensor = low_rank((10, 11, 12), (3, 3, 3), 0.01).float()
    found = tucker(tensor, 3)
    assert {found.tensor.core.dtype, *(f.dtype for f in found.tensor.factors)} == {torch.float32}
    assert found.relative_error == pytest.approx(tucker(tensor.double(), 3).relative_error, rel=1e-4)
    assert tucker(tensor, tolerance=0.0).relative_error <= 1e-5


def test_zero_tensor_with_ranks() -> None:
    found = tucker(torch.zeros(3, 4, 5), (2, 2, 2))
    assert found.tensor.ranks == (2, 2, 2)
    assert not found.tensor.to_dense().any()


def test_callback_sees_the_trace_and_can_stop() -> None:
    tensor = torch.randn(10, 11, 12, dtype=torch.float64)
    seen: list[TracePoint] = []
    full = tucker(tensor, 3, callback=seen.append)
    assert tuple(seen) == full.trace
    assert [point.method for point in full.trace[:2]] == ["st_hosvd", "hooi"]
    errors = [point.relative_error for point in full.trace]
    assert errors == sorted(errors, reverse=True)
    assert len(errors) > 3
    stopped = tucker(tensor, 3, callback=lambda point: point.method == "hooi")
    assert len(stopped.trace) == 2
    assert len(tucker(tensor, 3, max_iterations=2).trace) == 3


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({}, OptionError, "exactly one of ranks=, tolerance= and energy="),
        ({"ranks": 2, "tolerance": 0.1}, OptionError, "exactly one of"),
        ({"tolerance": 1.0}, OptionError, "tolerance must lie in"),
        ({"tolerance": "a"}, OptionError, "tolerance must lie in"),
        ({"energy": 0.0}, OptionError, "energy must lie in"),
        ({"energy": "all"}, OptionError, "energy must lie in"),
        ({"ranks": 2, "method": "fast"}, OptionError, "method must be one of"),
        ({"ranks": 2, "max_iterations": -1}, OptionError, "max_iterations"),
        ({"tolerance": 0.1, "method": "randomized"}, OptionError, "pass ranks="),
        ({"tolerance": 0.1, "nonnegative": True}, OptionError, "pass ranks="),
        ({"ranks": 2, "nonnegative": True, "method": "hooi"}, OptionError, "leave method out"),
        ({"ranks": (2, 2, 9)}, RankError, "at most"),
        ({"ranks": 0}, RankError, "rank must lie in"),
    ],
)
def test_refusals(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        tucker(torch.ones(3, 4, 5), **options)


def test_nan_needs_a_mask() -> None:
    tensor = torch.ones(3, 4, 5)
    tensor[1, 2, 3] = float("nan")
    with pytest.raises(NonFiniteError, match="mask='nan'"):
        tucker(tensor, 1)


@pytest.mark.parametrize(
    "tensor", [torch.ones(3, 4, dtype=torch.int64), torch.ones(3), torch.ones(2, 2) * 1j]
)
def test_other_kinds_of_numbers_are_refused(tensor: Tensor) -> None:
    with pytest.raises(ShapeError, match="tucker"):
        tucker(tensor, 1)
