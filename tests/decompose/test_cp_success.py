"""The components that were put in come out, also where alternating least squares does not find them."""

from collections.abc import Callable

import pytest
import torch
from tests.decompose.cp_problems import dense, drawn, exact, noise, noisy, observed
from torch import Tensor

from rankfold import CP
from rankfold.decompose import cp
from rankfold.formats import factor_match_score

ONE = torch.ones(1, dtype=torch.float64)


def orthogonal(seed: int) -> CP:
    """As many orthonormal components as dimensions: every start lies between several of them."""
    size = 12
    factors = (torch.linalg.qr(noise((size, size), 3 * seed + mode))[0] for mode in range(3))
    return CP(ONE.expand(size), tuple(factors))


def wide(seed: int) -> CP:
    """Weights over three decades."""
    factors = (torch.nn.functional.normalize(factor, dim=0) for factor in drawn((10, 10, 10), 8, seed))
    return CP(torch.logspace(0, -3, 8, dtype=torch.float64), tuple(factors))


def collinear(seed: int) -> CP:
    """Cosines of 0.99 between all columns of every factor."""
    rank, cosine = 5, 0.99
    gram = torch.full((rank, rank), cosine, dtype=torch.float64) + (1 - cosine) * torch.eye(rank)
    mixed = torch.linalg.cholesky(gram).mT
    factors = (torch.linalg.qr(factor)[0] @ mixed for factor in drawn((10, 10, 10), rank, seed))
    return CP(ONE.expand(rank), tuple(factors))


def overcomplete(seed: int) -> CP:
    """More components than dimensions."""
    return CP(ONE.expand(11), tuple(drawn((8, 8, 8), 11, seed)))


@pytest.mark.parametrize("family", [orthogonal, wide, collinear, overcomplete])
def test_hard_families(family: Callable[[int], CP]) -> None:
    failures = 0
    for seed in range(3):
        truth = family(seed)
        x = truth.to_dense()
        result = cp(x, truth.rank, generator=seed)
        assert result.relative_error < 1e-6
        assert result.agreement.exact
        assert factor_match_score(truth, result.tensor) > 0.999
        baseline = cp(x, truth.rank, method="als", generator=seed)
        failures += baseline.relative_error > 1e-5
    # Otherwise the family would not be hard.
    assert failures >= 2


@pytest.mark.slow
@pytest.mark.parametrize("family", [orthogonal, wide, collinear, overcomplete])
def test_hard_families_over_many_seeds(family: Callable[[int], CP]) -> None:
    for seed in range(3, 33):
        truth = family(seed)
        result = cp(truth.to_dense(), truth.rank, generator=seed)
        assert result.relative_error < 1e-6, seed
        assert factor_match_score(truth, result.tensor) > 0.999, seed


@pytest.mark.parametrize("seed", [0, 1])
def test_four_fifths_missing(seed: int) -> None:
    shape = (15, 15, 15)
    x, mask = exact(shape, 5, seed), observed(shape, 0.2, seed)
    result = cp(x, 5, mask=mask, generator=seed)
    hidden = torch.linalg.vector_norm((result.tensor.to_dense() - x)[~mask]) / torch.linalg.vector_norm(
        x[~mask]
    )
    assert hidden < 1e-3
    assert result.agreement.exact


def sparse_nonnegative(seed: int) -> Tensor:
    shape = (20, 25, 30)
    factors = drawn(shape, 4, seed)
    return dense([f.abs() * observed(f.shape, 0.3, 10 * seed + mode) for mode, f in enumerate(factors)])


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("rank", [4, None])
def test_sparse_and_nonnegative(seed: int, rank: int | None) -> None:
    x = sparse_nonnegative(seed)
    assert float((x != 0).double().mean()) < 0.2
    result = cp(x.to_sparse(), rank, nonnegative=True, generator=seed)
    assert result.rank == 4
    assert all(bool((factor >= 0).all()) for factor in result.tensor.factors)
    assert float((result.tensor.to_dense() - x).norm() / x.norm()) < 1e-5


@pytest.mark.parametrize("seed", [0, 1])
def test_more_components_than_there_are(seed: int) -> None:
    x = exact((8, 9, 10), 3, seed)
    result = cp(x, 5, generator=seed)
    assert result.relative_error < 1e-6
    assert all(bool(part.isfinite().all()) for part in result.tensor.tensors)
    # With noise the surplus fits a part of it.
    disturbed = noisy(x, 0.01, seed)
    result = cp(disturbed, 5, generator=seed)
    assert result.relative_error < 0.01
    assert result.degeneracy.largest_weight < 10


# -- what the answer says of itself --------------------------------------------------------------------


def test_an_exact_fit_needs_no_second_run() -> None:
    result = cp(exact((8, 9, 10), 3, 1), 3, generator=1)
    assert (result.agreement.agreeing, result.agreement.exact, result.agreement.reached) == (1, True, True)
    assert result.core_consistency == pytest.approx(100, abs=1e-3)
    assert not result.degeneracy.suspected


def test_noise_needs_two_runs_that_agree() -> None:
    x = noisy(exact((8, 9, 10), 3, 1), 0.05, 1)
    result = cp(x, 3, generator=1)
    agreement = result.agreement
    assert (agreement.agreeing, agreement.exact, agreement.reached) == (2, False, True)
    assert 2 <= agreement.runs <= 10
    single = cp(x, 3, generator=1, restarts=1)
    assert (single.agreement.runs, single.agreement.agreeing, single.agreement.reached) == (1, 1, False)
    # A minimum that two starts found is found by others.
    for seed in (2, 3):
        other = cp(x, 3, generator=seed)
        assert other.relative_error == pytest.approx(result.relative_error, rel=1e-4)
        assert factor_match_score(other.tensor, result.tensor) > 0.95


def test_starts_that_contradict_each_other_are_no_agreement() -> None:
    # Far too many components for pure noise: every start ends somewhere else.
    result = cp(noise((7, 7, 7), 3), 6, method="gauss_newton", restarts=3, generator=0)
    assert result.agreement.runs <= 3
    assert (result.agreement.runs, result.agreement.agreeing, result.agreement.reached) == (3, 1, False)


def test_more_restarts_are_never_worse() -> None:
    x = noise((6, 6, 6), 4)
    errors = [cp(x, 4, method="als", restarts=count, generator=0).relative_error for count in (1, 2, 4)]
    assert errors == sorted(errors, reverse=True)


def test_a_tensor_without_a_best_approximation_is_suspected() -> None:
    # a o a o b + a o b o a + b o a o a has rank 3 and comes as close as one likes to rank 2.
    a, b = (vector[:, 0] for vector in drawn((6, 6), 1, 1))
    x = sum(torch.einsum("i,j,k->ijk", *vectors) for vectors in ((a, a, b), (a, b, a), (b, a, a)))
    result = cp(x, 2, method="gauss_newton", generator=0)
    assert result.degeneracy.suspected
    assert result.degeneracy.largest_weight > 5


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_seed_that_made_the_data_is_no_trouble(seed: int) -> None:
    # The start is then drawn from the very numbers of the truth.
    generator = torch.Generator().manual_seed(seed)
    x = dense([torch.randn(size, 3, generator=generator, dtype=torch.float64) for size in (6, 7, 8)])
    assert cp(x, 3, generator=seed).relative_error < 1e-6
    assert cp(noisy(x, 0.01, seed), 3, generator=seed).relative_error < 0.0101
