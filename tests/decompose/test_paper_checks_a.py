"""Checks A1 to A7: Wang, Wu, Lee, Ma, Ge 2020, "Beyond Lazy Training for Over-parameterized Tensor Decomposition".

The statements and tolerances follow the paper where it has them; the paper has no experiments, so the counts of
successes are those of our own runs of its algorithm.
"""

import itertools
import math

import pytest
import torch
from torch import Tensor

from rankfold.decompose._homogeneous import (
    Reinitialise,
    homogeneous_flow,
    homogeneous_gradient,
    homogeneous_loss,
    sphere,
)
from rankfold.decompose._symmetric_target import ComponentTarget, DenseTarget


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _orthonormal(runs: int, size: int, rank: int, generator: torch.Generator) -> Tensor:
    drawn = torch.randn(runs, size, rank, generator=generator, dtype=torch.float64)
    return torch.linalg.qr(drawn).Q.mT.contiguous()


def _signs(runs: int, count: int, generator: torch.Generator) -> Tensor:
    return (torch.randint(2, (runs, count), generator=generator) * 2 - 1).double()


def _monomials(size: int, order: int) -> tuple[Tensor, Tensor]:
    """Indices of the entries of a symmetric tensor that differ, and the roots of how often each occurs."""
    indices = torch.tensor(list(itertools.combinations_with_replacement(range(size), order)))
    exponents = torch.nn.functional.one_hot(indices, size).sum(1)
    counts = math.factorial(order) / torch.lgamma(exponents.double() + 1).sum(1).exp()
    return indices, counts.sqrt()


# -- A1: how many components the lazy regime needs -------------------------------------------------------


def _lazy_residual(size: int, order: int, count: int, seed: int, targets: int = 200) -> tuple[int, float]:
    """Dimension of span{sym(u_i^(l-1) (x) e_k)} and the mean squared distance of random unit u^(x)l from it."""
    indices, roots = _monomials(size, order)
    generator = _generator(seed)
    drawn = sphere((count, size), 1.0, generator)[:, indices]
    rows = torch.zeros(count, size, len(indices), dtype=torch.float64)
    for place in range(order):
        others = torch.cat([drawn[..., :place], drawn[..., place + 1 :]], dim=-1).prod(2) * roots
        rows += others.unsqueeze(1) * torch.nn.functional.one_hot(indices[:, place], size).mT
    rows = rows.reshape(count * size, -1)
    _, values, right = torch.linalg.svd(rows, full_matrices=False)
    rank = int((values > 1e-10 * values[0]).sum())
    basis = right[:rank]
    points = sphere((targets, size), 1.0, generator)[:, indices].prod(2) * roots
    return rank, float((points - points @ basis.mT @ basis).square().sum(1).mean())


# The count of parameters alone predicts 1 - md / C(d+l-1, l). A rank-one target has more than its share in the low
# harmonics, which are spanned first, so what is measured lies below; the more the higher the order.
@pytest.mark.parametrize(
    ("size", "order", "counts", "tolerance"),
    [(8, 3, (6, 12), 0.05), (12, 3, (12, 24), 0.06), (8, 4, (10, 20), 0.09)],
)
def test_a1_lazy_training_needs_many_components(
    size: int, order: int, counts: tuple[int, ...], tolerance: float
) -> None:
    total = math.comb(size + order - 1, order)
    for count in counts:
        drawn = [_lazy_residual(size, order, count, seed) for seed in range(4)]
        assert {rank for rank, _ in drawn} == {min(count * size, total)}
        below = 1 - count * size / total - sum(residual for _, residual in drawn) / len(drawn)
        assert 0 < below < tolerance
    enough = math.ceil(1.05 * total / size)
    rank, residual = _lazy_residual(size, order, enough, seed=0)
    assert rank == total
    assert residual < 1e-10


# -- A2: the bad local minimum of the naive objective, and how width removes it --------------------------


def _naive_loss(vectors: Tensor) -> Tensor:
    """||sum u_i^(x)4 - e_1^(x)4 - e_2^(x)4||² for vectors (..., m, d)."""
    gram = (vectors @ vectors.mT) ** 4
    return gram.sum((-2, -1)) - 2 * (vectors[..., :2] ** 4).sum((-2, -1)) + 2


def _stuck(count: int, size: int = 2) -> Tensor:
    vectors = torch.zeros(count, size, dtype=torch.float64)
    vectors[:, 0] = count**-0.25
    return vectors


@pytest.mark.parametrize(
    ("count", "expected"), [(2, 8.0), (3, 2.25), (4, 0.593), (5, -0.156), (6, -0.576), (8, -1.026)]
)
def test_a2_the_bad_minimum_becomes_a_saddle_at_five_components(count: int, expected: float) -> None:
    direction = torch.full((count,), -1.0 / (count - 1), dtype=torch.float64)
    direction[0] = 1.0

    def quartic(direction: Tensor) -> Tensor:
        # Even in the length, so two lengths remove the term of order six.
        values = []
        for length in (0.02, 0.04):
            moved = _stuck(count).expand(*direction.shape[:-1], count, 2).clone()
            moved[..., 1] = length * direction
            values.append((_naive_loss(moved) - _naive_loss(_stuck(count))) / length**4)
        return (4 * values[0] - values[1]) / 3

    assert abs(float(quartic(direction)) - expected) < 2e-3
    others = torch.randn(2000, count, generator=_generator(count), dtype=torch.float64)
    others = others - others.mean(1, keepdim=True)
    others = others / others.abs().amax(1, keepdim=True)
    formula = 6 / count * others.square().sum(1).square() - 2 * others.pow(4).sum(1)
    torch.testing.assert_close(quartic(others), formula, atol=2e-3, rtol=0)
    assert bool((formula > 0).all()) == (count <= 4)


def _descended(vectors: Tensor, steps: int) -> Tensor:
    """The loss of every run after gradient descent on the naive objective; 1 is the bad minimum."""
    for _ in range(steps):
        gradient = 8 * ((vectors @ vectors.mT) ** 3 @ vectors - vectors**3)
        vectors = vectors - 0.02 * gradient
    return _naive_loss(vectors)


def test_a2_descent_along_the_best_direction_escapes_with_five_components() -> None:
    for count in (2, 3, 4, 5, 6, 8):
        vectors = _stuck(count)
        vectors[:, 1] = -0.05 / (count - 1)
        vectors[0, 1] = 0.05
        loss = float(_descended(vectors, 9000))
        assert loss < 1e-2 if count >= 5 else abs(loss - 1) < 1e-5


# Five components have few directions to escape by, so that 10 of 10 is asked of six and more only.
@pytest.mark.parametrize(("count", "expected"), [(2, 0), (6, 10), (8, 10), (12, 10)])
def test_a2_descent_from_noise(count: int, expected: int) -> None:
    generator = _generator(count)
    noise = 0.2 * torch.rand(10, count, 2, generator=generator, dtype=torch.float64) - 0.1
    assert int((_descended(_stuck(count) + noise, 12000) < 1e-2).sum()) == expected


@pytest.mark.slow
def test_a2_five_components_escape_slowly() -> None:
    noise = 0.2 * torch.rand(20, 5, 2, generator=_generator(5), dtype=torch.float64) - 0.1
    losses = _descended(_stuck(5) + noise, 60000)
    print(losses)
    assert int((losses < 1e-2).sum()) >= 12


# -- A3: anticoncentration of a random direction against any residual ------------------------------------


@pytest.mark.parametrize(("size", "order", "known"), [(4, 3, 0.03125), (6, 3, 0.0125), (5, 4, 0.0069264)])
def test_a3_smallest_correlation_of_a_random_direction(size: int, order: int, known: float) -> None:
    denominator = math.prod(range(size, size + 2 * order, 2))
    expected = math.factorial(order) / denominator
    assert abs(expected - known) < 1e-7
    indices, roots = _monomials(size, order)
    exponents = torch.nn.functional.one_hot(indices, size).sum(1)
    moments = exponents.unsqueeze(0) + exponents.unsqueeze(1)
    # E[u^gamma] on the sphere: the product of double factorials (gamma_i - 1)!! for even gamma, over the denominator.
    double = torch.tensor([1.0, 0, 1, 0, 3, 0, 15, 0, 105], dtype=torch.float64)
    matrix = double[moments].prod(2) / denominator * roots.unsqueeze(0) * roots.unsqueeze(1)
    assert abs(float(torch.linalg.eigvalsh(matrix)[0]) - expected) < 1e-12


# -- A4: success and speed of the 2-homogeneous model ----------------------------------------------------


def _first_success(
    size: int, rank: int, count: int, order: int, runs: int, steps: int, again: int | None, seed: int = 0
) -> Tensor:
    """Steps until the relative loss is below 1e-4, per run; -1 where that did not happen."""
    generator = _generator(seed)
    target = ComponentTarget(
        _orthonormal(runs, size, rank, generator), torch.ones(runs, rank, dtype=torch.float64), order
    )
    first = torch.full((runs,), -1)

    def watch(done: int, vectors: Tensor, signs: Tensor) -> bool:
        good = 2 * homogeneous_loss(target, vectors, signs) < 1e-4 * target.squared_norm()
        first[(first < 0) & good] = done
        return bool((first >= 0).all())

    homogeneous_flow(
        target,
        sphere((runs, count, size), 1e-3, generator),
        torch.ones(runs, count, dtype=torch.float64),
        step=0.05,
        steps=steps,
        frozen=True,
        reinitialise=None if again is None else Reinitialise(again, 1e-2, 1e-3, generator),
        callback=watch,
    )
    return first


@pytest.mark.parametrize("order", [3, 4])
def test_a4_four_times_the_rank_is_enough(order: int) -> None:
    wide = _first_success(20, 5, 20, order, runs=10, steps=1000, again=300)
    found = wide[wide >= 0]
    assert len(found) >= 9
    assert found.double().median() <= 300
    narrow = _first_success(20, 5, 5, order, runs=10, steps=1000, again=None)
    assert int((narrow >= 0).sum()) <= 5


@pytest.mark.slow
@pytest.mark.parametrize(("order", "rank"), [(3, 3), (3, 6), (3, 10), (4, 10)])
@pytest.mark.parametrize("size", [30, 100])
def test_a4_width_needed_does_not_grow_with_the_dimension(order: int, rank: int, size: int) -> None:
    six = _first_success(size, rank, 6 * rank, order, runs=20, steps=3000, again=150)
    assert int((six >= 0).sum()) >= 19
    same = _first_success(size, rank, rank, order, runs=20, steps=3000, again=None)
    assert int((same >= 0).sum()) <= 6


# -- A5: homogeneity and gradients ------------------------------------------------------------------------


def _dense(vectors: Tensor, weights: Tensor, order: int) -> Tensor:
    letters = "abcdefgh"[:order]
    spec = ",".join(f"i{letter}" for letter in letters)
    return torch.einsum(f"i,{spec}->{letters}", weights, *([vectors] * order))


@pytest.mark.parametrize("order", [2, 3, 4, 5])
@pytest.mark.parametrize("dense", [False, True])
def test_a5_gradient_and_homogeneity(order: int, dense: bool) -> None:
    generator = _generator(order)
    parts = torch.randn(2, 4, generator=generator, dtype=torch.float64)
    weights = torch.tensor([1.5, -0.5], dtype=torch.float64)
    tensor = _dense(parts, weights, order)
    target = DenseTarget(tensor) if dense else ComponentTarget(parts, weights, order)
    vectors = torch.randn(3, 4, generator=generator, dtype=torch.float64, requires_grad=True)
    signs = torch.tensor([1.0, -1, 1], dtype=torch.float64)

    def loss(scalars: Tensor) -> tuple[Tensor, Tensor]:
        model = _dense(vectors, signs * scalars, order)
        return 0.5 * (model - tensor).square().sum(), model

    scalars = vectors.norm(dim=1) ** (2 - order)
    value, model = loss(scalars)
    (full,) = torch.autograd.grad(value, vectors)
    (frozen,) = torch.autograd.grad(loss(scalars.detach())[0], vectors)
    fixed = vectors.detach()
    torch.testing.assert_close(homogeneous_loss(target, fixed, signs), value.detach(), rtol=1e-10, atol=0)
    torch.testing.assert_close(homogeneous_gradient(target, fixed, signs), full, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(
        homogeneous_gradient(target, fixed, signs, frozen=True), frozen, rtol=1e-9, atol=1e-9
    )
    inner = float(((model - tensor) * model).sum().detach())
    assert abs(float((full * fixed).sum()) - 2 * inner) < 1e-10 * max(1.0, abs(inner))
    # Twice the vectors, four times the tensor.
    twice = homogeneous_loss(ComponentTarget(parts, 0 * weights, order), 2 * fixed, signs)
    once = homogeneous_loss(ComponentTarget(parts, 0 * weights, order), fixed, signs)
    torch.testing.assert_close(twice, 16 * once, rtol=1e-12, atol=0)


# -- A6: nothing grows outside the span of the components -------------------------------------------------


@pytest.mark.parametrize("order", [3, 4])
def test_a6_what_lies_off_the_span_stays_small(order: int) -> None:
    runs, size, rank, count, delta = 5, 50, 3, 12, 1e-3
    generator = _generator(1)
    parts = _orthonormal(runs, size, rank, generator)
    target = ComponentTarget(parts, torch.ones(runs, rank, dtype=torch.float64), order)
    largest, fitted = torch.zeros(runs), torch.zeros(runs, dtype=torch.bool)

    def watch(done: int, vectors: Tensor, signs: Tensor) -> bool:
        fitted.logical_or_(2 * homogeneous_loss(target, vectors, signs) < 1e-3 * target.squared_norm())
        off = torch.linalg.matrix_norm(vectors - vectors @ parts.mT @ parts).float()
        largest.copy_(torch.where(fitted, largest, torch.maximum(largest, off)))
        return bool(fitted.all())

    homogeneous_flow(
        target,
        sphere((runs, count, size), delta, generator),
        torch.ones(runs, count, dtype=torch.float64),
        step=0.05,
        steps=1500,
        frozen=True,
        reinitialise=Reinitialise(100, 10 * delta, delta, generator),
        callback=watch,
    )
    assert fitted.all()
    assert largest.max() <= 2 * math.sqrt(count) * delta


# -- A7: targets with components of both signs ------------------------------------------------------------


@pytest.mark.parametrize(("mixed", "expected"), [(False, 0), (True, 10)])
def test_a7_even_orders_need_random_signs(mixed: bool, expected: int) -> None:
    runs, size, count = 10, 20, 40
    generator = _generator(2)
    weights = torch.tensor([1.0, 1, 1, -1, -1], dtype=torch.float64).expand(runs, 5)
    target = ComponentTarget(_orthonormal(runs, size, 5, generator), weights, 4)
    signs = _signs(runs, count, generator) if mixed else torch.ones(runs, count, dtype=torch.float64)
    start = sphere((runs, count, size), 1e-3, generator)
    vectors, signs = homogeneous_flow(target, start, signs, step=0.05, steps=600, frozen=True)
    good = 2 * homogeneous_loss(target, vectors, signs) < 1e-4 * target.squared_norm()
    assert int(good.sum()) == expected
