"""Checks A4 to A7: Wang, Wu, Lee, Ma, Ge 2020, "Beyond Lazy Training for Over-parameterized Tensor Decomposition".

What does not touch the library, A1 to A3, is tested beside the studies of the paper. The statements and tolerances
follow the paper where it has them; the paper has no experiments, so the counts of successes are those of our own runs
of its algorithm.
"""

from statistics import median

import pytest
import torch
from torch import Tensor

from rankfold.decompose._homogeneous import homogeneous_gradient, homogeneous_loss
from rankfold.decompose._symmetric_target import ComponentTarget, DenseTarget
from rankfold.studies._bad_minimum import solved_with_signs
from rankfold.studies._symmetric_descent import homogeneous_iterations, off_span, orthonormal_target


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# -- A4: success and speed of the 2-homogeneous model ----------------------------------------------------


def _first_success(
    size: int, rank: int, count: int, order: int, runs: int, steps: int, again: int | None
) -> list[int]:
    """Steps of the runs that have succeeded."""
    generator = _generator(0)
    target = orthonormal_target(size, order, torch.ones(runs, rank, dtype=torch.float64), generator)
    first = homogeneous_iterations(target, count, steps=steps, again=again, generator=generator)
    return [steps for steps in first if steps >= 0]


@pytest.mark.parametrize("order", [3, 4])
def test_a4_four_times_the_rank_is_enough(order: int) -> None:
    wide = _first_success(20, 5, 20, order, runs=10, steps=1000, again=300)
    assert len(wide) >= 9
    assert median(wide) <= 300
    narrow = _first_success(20, 5, 5, order, runs=10, steps=1000, again=None)
    assert len(narrow) <= 5


@pytest.mark.slow
@pytest.mark.parametrize(("order", "rank"), [(3, 3), (3, 6), (3, 10), (4, 10)])
@pytest.mark.parametrize("size", [30, 100])
def test_a4_width_needed_does_not_grow_with_the_dimension(order: int, rank: int, size: int) -> None:
    six = _first_success(size, rank, 6 * rank, order, runs=20, steps=3000, again=150)
    assert len(six) >= 19
    same = _first_success(size, rank, rank, order, runs=20, steps=3000, again=None)
    assert len(same) <= 6


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
    generator = _generator(1)
    target = orthonormal_target(50, order, torch.ones(5, 3, dtype=torch.float64), generator)
    fitted, largest = off_span(target, 12, steps=1500, generator=generator)
    assert fitted == 5
    assert largest <= 2


# -- A7: targets with components of both signs ------------------------------------------------------------


@pytest.mark.parametrize(("mixed", "expected"), [(False, 0), (True, 10)])
def test_a7_even_orders_need_random_signs(mixed: bool, expected: int) -> None:
    assert solved_with_signs(mixed, count=40, runs=10, generator=_generator(2)) == expected
