"""Degeneracy, core consistency, scales and the trace."""

import pytest
import torch
from tests.decompose.cp_problems import dense, drawn, exact, noise, noisy
from torch import Tensor

from rankfold.decompose import cp
from rankfold.decompose._complete import CompleteData
from rankfold.decompose._diagnostics import core_consistency, degeneracy
from rankfold.decompose._recorder import Recorder
from rankfold.decompose._result import Agreement, Degeneracy, TracePoint
from rankfold.decompose._scaling import balance, component_norms, random_factors


def degenerate_pair(n: float) -> list[Tensor]:
    """``n (a + b/n) o (a + b/n) o (a + b/n) - n a o a o a``, which has rank 2 and a limit of rank 3."""
    a, b = (v[:, 0] / v[:, 0].norm() for v in drawn((6, 6), 1, 1))
    near = a + b / n
    size = n ** (1 / 3)
    column = torch.stack([size * near, -size * a], dim=1)
    return [column, torch.stack([size * near, size * a], 1), torch.stack([size * near, size * a], 1)]


def test_a_degenerate_pair_is_seen() -> None:
    previous = 0.0
    for n in (10.0, 100.0, 1000.0):
        found = degeneracy(degenerate_pair(n))
        assert found.suspected
        assert found.smallest_cosine < -0.95
        assert found.largest_weight > 5 * previous
        previous = found.largest_weight
    assert previous > 100


def test_healthy_components_are_not_suspected() -> None:
    vectors = torch.eye(5, 3, dtype=torch.float64)
    found = degeneracy([vectors, vectors, 2 * vectors])
    assert found.smallest_cosine == 0
    assert found.largest_weight == pytest.approx(3**-0.5)
    assert not found.suspected
    single = degeneracy(drawn((3, 4, 5), 1, 1))
    assert (single.smallest_cosine, single.suspected) == (1.0, False)
    assert single.largest_weight == pytest.approx(1)
    zero = degeneracy([torch.zeros(3, 2), torch.zeros(4, 2)])
    assert zero == Degeneracy(0.0, 0.0)


def test_cosines_and_weights_are_those_of_the_dense_components() -> None:
    factors = drawn((3, 4, 5), 3, 2)
    parts = torch.stack([dense([f[:, r : r + 1] for f in factors]).flatten() for r in range(3)])
    norms = torch.linalg.vector_norm(parts, dim=1)
    cosines = (parts @ parts.mT) / torch.outer(norms, norms)
    found = degeneracy(factors)
    assert found.smallest_cosine == pytest.approx(float(cosines.min()), rel=1e-10)
    assert found.largest_weight == pytest.approx(float(norms.max() / parts.sum(0).norm()), rel=1e-10)


def oracle(tensor: Tensor, factors: list[Tensor]) -> float:
    """Core consistency by one least squares problem over all entries."""
    rank = factors[0].shape[1]
    system = factors[0]
    for factor in factors[1:]:
        system = torch.kron(system, factor)
    core = torch.linalg.lstsq(system, tensor.reshape(-1, 1)).solution
    ideal = torch.zeros((rank,) * tensor.ndim, dtype=torch.float64)
    ideal[(torch.arange(rank),) * tensor.ndim] = 1
    return float(100 * (1 - (core.flatten() - ideal.flatten()).square().sum() / rank))


@pytest.mark.parametrize("shape", [(4, 5, 6), (3, 4, 3, 4), (5, 6)], ids=str)
def test_core_consistency(shape: tuple[int, ...]) -> None:
    factors = drawn(shape, 3, 3)
    found = core_consistency(dense(factors), factors)
    assert found == pytest.approx(100, abs=1e-8)
    for tensor in (noisy(dense(factors), 0.3, 3), noise(shape, 3)):
        found = core_consistency(tensor, factors)
        assert found == pytest.approx(oracle(tensor, factors), rel=1e-8)
        assert found is not None
        assert found < 100
    wide = drawn(shape, min(shape) + 1, 3)
    assert core_consistency(dense(wide), wide) is None


def test_too_many_components_are_not_consistent() -> None:
    x = noisy(exact((8, 8, 8), 2, 5), 0.05, 5)
    good, bad = (core_consistency(x, drawn_fit(x, rank)) for rank in (2, 4))
    assert good is not None
    assert bad is not None
    assert good > 90 > bad


def drawn_fit(x: Tensor, rank: int) -> list[Tensor]:
    model = cp(x, rank, method="overparam", generator=1).tensor
    return [model.factors[0] * model.weights, *model.factors[1:]]


# -- scales --------------------------------------------------------------------------------------------


def test_balanced_factors_have_equal_norms_and_the_same_model() -> None:
    factors = [f * s for f, s in zip(drawn((3, 4, 5), 3, 6), (1e-60, 1e90, 1e-20), strict=True)]
    before = [f.clone() for f in factors]
    balanced = balance(factors)
    norms = torch.stack([torch.linalg.vector_norm(f, dim=0) for f in balanced])
    torch.testing.assert_close(norms, norms[:1].expand_as(norms), rtol=1e-10, atol=0)
    torch.testing.assert_close(
        dense(balanced), dense(factors), rtol=1e-10, atol=1e-10 * float(dense(factors).abs().max())
    )
    assert all(torch.equal(a, b) for a, b in zip(factors, before, strict=True))
    torch.testing.assert_close(component_norms(balanced), component_norms(factors), rtol=1e-10, atol=0)


def test_a_zero_column_makes_the_component_zero() -> None:
    factors = drawn((3, 4, 5), 2, 7)
    factors[1][:, 0] = 0
    balanced = balance(factors)
    assert all(bool((f[:, 0] == 0).all()) and bool((f[:, 1] != 0).any()) for f in balanced)
    torch.testing.assert_close(dense(balanced), dense(factors))


@pytest.mark.parametrize("nonnegative", [False, True])
def test_random_factors(nonnegative: bool) -> None:
    data = CompleteData(1e3 * noise((20, 30, 25), 1))
    first, again, other = (
        random_factors(data, 6, torch.Generator().manual_seed(seed), nonnegative=nonnegative)
        for seed in (1, 1, 2)
    )
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    assert [tuple(f.shape) for f in first] == [(20, 6), (30, 6), (25, 6)]
    assert any(bool((f < 0).any()) for f in first) is not nonnegative
    size = float(component_norms(first).square().sum().sqrt())
    assert 0.5 * data.norm < size < 2 * data.norm
    single = random_factors(CompleteData(noise((3, 4), 1).float()), 2, torch.Generator().manual_seed(0))
    assert single[0].dtype == torch.float32


# -- the trace -----------------------------------------------------------------------------------------


def test_recorder() -> None:
    seen: list[TracePoint] = []
    recorder = Recorder(lambda point: seen.append(point) or point.rank == 3)
    assert recorder.note("a", 0.5, 1) is False
    assert recorder.note("a", 0.4, 3) is True
    # A stop is for good.
    assert recorder.note("b", 0.3, 1) is True
    assert recorder.stopped
    assert seen == recorder.points[:2]  # who has stopped it is not asked again
    assert [point.method for point in recorder.points] == ["a", "a", "b"]
    assert [point.seconds for point in seen] == sorted(point.seconds for point in seen)


def test_only_true_stops() -> None:
    recorder = Recorder(lambda _: 1)  # type: ignore[arg-type, return-value]
    assert recorder.note("a", 0.5, 1) is False
    assert Recorder().note("a", 0.5, 1) is False


def test_agreement() -> None:
    assert not Agreement(3, 1, False).reached
    assert Agreement(3, 2, False).reached
    assert Agreement(1, 1, True).reached
