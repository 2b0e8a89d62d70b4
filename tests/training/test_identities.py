"""The identities behind one step (Zangrando et al. 2024, theorem 1; Ceruti and Lubich 2022), in float64."""

import pytest
import torch
from tests.training.problems import (
    core_gradient,
    projector,
    random_tensor,
    random_tucker,
    relative,
    tangent_projection,
)

from rankfold.formats import Tucker
from rankfold.linalg import fold_mode, mode_product, unfold
from rankfold.testing import linear_loss_gradients
from rankfold.training.integrators import INTEGRATORS, basis_gradients

SHAPE, RANKS = (12, 10, 3, 3), (4, 3, 2, 2)


@pytest.fixture(params=[True, False], ids=["hosvd-core", "generic-core"])
def tucker(request):
    return random_tucker(SHAPE, RANKS, rotate=request.param)


@pytest.fixture
def gradient():
    return random_tensor(*SHAPE, seed=99)


def test_1_basis_gradients_are_those_of_the_k_step(tucker, gradient):
    given = linear_loss_gradients(tucker, gradient)
    (found,) = basis_gradients([tucker], [given])
    for mode, part in found.items():
        # Mat_i(C)ᵀ = Q Sᵀ, and W written as Ten_i(Qᵀ) x_{j != i} U_j x_i K with K = U S.
        torch.testing.assert_close(unfold(tucker.core, mode).mT, part.orthonormal @ part.scale.mT)
        k = (tucker.factors[mode] @ part.scale).requires_grad_()
        inner = list(tucker.factors)
        inner[mode] = k
        shape = list(tucker.core.shape)
        written = Tucker(fold_mode(part.orthonormal.mT, mode, tuple(shape)), tuple(inner)).to_dense()
        assert relative(written, tucker.to_dense()) < 1e-13
        (written * gradient).sum().backward()
        torch.testing.assert_close(part.gradient, k.grad, rtol=1e-11, atol=1e-11)
        torch.testing.assert_close(given.factors[mode], k.grad @ part.scale.mT, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("rate", [1e-3, 1.0])
def test_2_augmented_bases_span_old_basis_and_k_step(tucker, gradient, rate):
    given = linear_loss_gradients(tucker, gradient)
    (found,) = basis_gradients([tucker], [given])
    step = INTEGRATORS["augmented"].advance([tucker], [given], [rate])[0]
    for mode, part in found.items():
        k_new = tucker.factors[mode] @ part.scale - rate * part.gradient
        expected = projector(torch.cat([tucker.factors[mode], k_new], dim=1)[:, : SHAPE[mode]])
        if 2 * RANKS[mode] > SHAPE[mode]:
            expected = torch.eye(SHAPE[mode], dtype=torch.float64)
        # Forming U + rate * gradient loses as many digits as the rate is small.
        assert float((projector(step.tucker.factors[mode]) - expected).norm()) < 1e-13 / rate


def test_3_augmentation_leaves_the_weight_unchanged(tucker, gradient):
    step = INTEGRATORS["augmented"].advance([tucker], [linear_loss_gradients(tucker, gradient)], [0.1])[0]
    assert relative(step.tucker.to_dense(), tucker.to_dense()) < 2e-15
    for old, new in zip(tucker.factors, step.tucker.factors, strict=True):
        assert torch.equal(new[:, : old.shape[1]], old)


def test_4_the_tangent_gradient_lies_in_the_augmented_space(tucker, gradient):
    step = INTEGRATORS["augmented"].advance([tucker], [linear_loss_gradients(tucker, gradient)], [0.1])[0]
    tangent = tangent_projection(tucker, gradient)
    inside = Tucker(core_gradient(step.tucker, tangent), step.tucker.factors).to_dense()
    assert relative(inside, tangent) < 1e-13
    norms = [
        float(gradient.norm()),
        float(core_gradient(step.tucker, gradient).norm()),
        float(tangent.norm()),
        float(core_gradient(tucker, gradient).norm()),
    ]
    assert norms == sorted(norms, reverse=True)
    assert norms[-1] < norms[0]


def test_5_the_parallel_step_is_riemannian_gradient_descent(tucker, gradient):
    rate = 0.3
    step = INTEGRATORS["parallel"].advance([tucker], [linear_loss_gradients(tucker, gradient)], [rate])[0]
    assert step.core_gradient is not None
    moved = Tucker(step.tucker.core - rate * step.core_gradient, step.tucker.factors).to_dense()
    expected = tucker.to_dense() - rate * tangent_projection(tucker, gradient)
    assert relative(moved, expected) < 1e-13


def path(t: float) -> torch.Tensor:
    """A curve of tensors of constant rank (4, 3, 2, 2)."""
    start = random_tucker(SHAPE, RANKS, seed=5)
    core = start.core + t * random_tensor(*RANKS, seed=50)
    factors = [
        torch.linalg.matrix_exp(t * (g - g.mT)) @ f
        for f, g in zip(
            start.factors, (random_tensor(n, n, seed=60 + i) for i, n in enumerate(SHAPE)), strict=True
        )
    ]
    return Tucker(core, tuple(factors)).to_dense()


def one_step(integrator: str, h: float) -> float:
    """Relative error after one step of length 1 along the increment W(t+h) - W(t)."""
    now, then = path(0.3), path(0.3 + h)
    tucker, gradient = Tucker.from_dense(now, ranks=RANKS).rotate(), now - then
    entry = INTEGRATORS[integrator]
    step = entry.advance([tucker], [linear_loss_gradients(tucker, gradient)], [1.0])[0]
    inner = step.core_gradient if entry.single_gradient else core_gradient(step.tucker, gradient)
    moved = Tucker(step.tucker.core - inner, step.tucker.factors).truncate(ranks=RANKS)
    return relative(moved.to_dense(), then)


@pytest.mark.parametrize("integrator", ["augmented", "fixed"])
@pytest.mark.parametrize("h", [1.0, 0.1, 0.01])
def test_6_exactness_for_paths_of_constant_rank(integrator, h):
    assert one_step(integrator, h) < 1e-12


def test_6_the_parallel_integrator_is_not_exact_but_of_second_order_or_better():
    errors = [one_step("parallel", h) for h in (0.1, 0.01, 0.001)]
    assert min(errors) > 1e-8  # where the others reach 1e-12
    assert errors[0] > 50 * errors[1] > 2500 * errors[2]


def test_core_padding_agrees_with_the_mode_product():
    """What augmentation does to the core is ``C x_i (Ûᵀ U)``."""
    tucker, gradient = random_tucker(SHAPE, RANKS), random_tensor(*SHAPE, seed=3)
    step = INTEGRATORS["augmented"].advance([tucker], [linear_loss_gradients(tucker, gradient)], [0.1])[0]
    core = tucker.core
    for mode, (old, new) in enumerate(zip(tucker.factors, step.tucker.factors, strict=True)):
        core = mode_product(core, new.mT @ old, mode)
    torch.testing.assert_close(step.tucker.core, core, rtol=0, atol=1e-14)
