"""Robustness, descent, truncation and rank growth of whole steps, on problems with known answers, in float64."""

import pytest
import torch
from tests.training.problems import core_gradient, random_tensor, random_tucker

from rankfold.formats import Tucker
from rankfold.testing import linear_loss_gradients
from rankfold.training.integrators import INTEGRATORS

SHAPE = (12, 10, 3, 3)


def step(integrator: str, tucker: Tucker, target: torch.Tensor, rate: float) -> Tucker:
    """One step on 1/2 ||W - target||², before truncation."""
    entry = INTEGRATORS[integrator]
    gradient = tucker.to_dense() - target
    moved = entry.advance([tucker], [linear_loss_gradients(tucker, gradient)], [rate])[0]
    inner = moved.core_gradient
    if inner is None:
        inner = core_gradient(moved.tucker, moved.tucker.to_dense() - target)
    return Tucker(moved.tucker.core - rate * inner, moved.tucker.factors)


def loss(tucker: Tucker, target: torch.Tensor) -> float:
    return float((tucker.to_dense() - target).square().sum()) / 2


def decayed(tucker: Tucker, decay: float) -> Tucker:
    """The same bases with core slices falling like decay^-k in every mode."""
    core = tucker.core.clone()
    for mode, size in enumerate(core.shape):
        weights = decay ** -torch.arange(size, dtype=core.dtype)
        core = core * weights.reshape([-1 if m == mode else 1 for m in range(core.ndim)])
    return Tucker(core, tucker.factors)


@pytest.mark.parametrize("decay", [1.0, 2.0, 10.0])
@pytest.mark.parametrize("integrator", ["augmented", "fixed", "parallel"])
def test_7_convergence_does_not_depend_on_small_singular_values(integrator, decay):
    ranks = (4, 3, 2, 2)
    target = random_tucker(SHAPE, ranks, seed=7).to_dense()
    tucker = decayed(random_tucker(SHAPE, ranks, seed=70), decay).rotate()
    for _ in range(200):
        moved = step(integrator, tucker, target, 0.5)
        tucker = moved.truncate(ranks=ranks)
    assert loss(tucker, target) <= 2e-27 * float(target.square().sum())


@pytest.mark.parametrize("tolerance", [0.01, 0.05, 0.1, 0.2, 0.3])
def test_8_descent_up_to_what_truncation_may_cost(tolerance):
    target = random_tensor(*SHAPE, seed=8)
    tucker = random_tucker(SHAPE, (3, 3, 2, 2), seed=80)
    rate = 0.5
    for _ in range(60):
        before, gradient = loss(tucker, target), tucker.to_dense() - target
        moved = step("augmented", tucker, target, rate)
        inside = core_gradient(moved, gradient).square().sum()
        after = loss(moved, target)
        rounding = 1e-14 * float(target.square().sum())
        assert after <= before - rate * (1 - rate / 2) * float(inside) + rounding
        cut_tucker = moved.truncate(tolerance=tolerance)
        cut = tolerance * float(moved.core.norm())
        slope = float((moved.to_dense() - target).norm())
        assert loss(cut_tucker, target) <= after + slope * cut + cut**2 / 2 + rounding
        tucker = cut_tucker


@pytest.mark.parametrize("tolerance", [0.01, 0.1, 0.3])
@pytest.mark.parametrize("shape", [(9, 7), (7, 9), (8, 7, 6), SHAPE])
def test_9_truncation_cuts_at_most_the_tolerance(tolerance, shape):
    tucker = Tucker.from_dense(random_tensor(*shape, seed=9), tolerance=0.0)
    cut = tucker.truncate(tolerance=tolerance)
    lost = float((cut.to_dense() - tucker.to_dense()).norm())
    assert lost <= tolerance * float(tucker.norm()) * (1 + 1e-12)


def run_to_the_end(integrator: str, tolerance: float, rate: float = 0.5, steps: int = 150):
    """From rank 2 towards a target whose singular values fall by half from one to the next in every mode."""
    target = decayed(random_tucker(SHAPE, SHAPE, seed=11), 2.0).to_dense()
    target = target / target.norm()
    tucker = random_tucker(SHAPE, (2, 2, 2, 2), seed=110)
    for _ in range(steps):
        tucker = step(integrator, tucker, target, rate).truncate(tolerance=tolerance)
    return tucker.ranks, loss(tucker, target)


@pytest.mark.parametrize("tolerance", [0.1, 0.05, 0.01])
def test_11_ranks_grow_to_what_the_tolerance_asks_for(tolerance):
    ranks, remaining = run_to_the_end("augmented", tolerance)
    target_ranks = run_to_the_end("augmented", tolerance / 10)[0]
    assert min(ranks) > 2 or ranks[2:] == (3, 3) or ranks[2:] == (2, 2)
    assert all(a <= b for a, b in zip(ranks, target_ranks, strict=True))
    # At the end of the run the loss is what the last truncation left: 1/2 (tolerance ||W||)² and one step of recovery.
    assert remaining <= tolerance**2


def test_11_the_parallel_integrator_wants_a_smaller_tolerance():
    augmented, parallel = run_to_the_end("augmented", 0.1), run_to_the_end("parallel", 0.1)
    assert parallel[1] > 2 * augmented[1]
    assert sum(parallel[0]) < sum(augmented[0])
