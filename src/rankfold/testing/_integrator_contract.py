"""What every integrator keeps."""

import pytest
import torch
from torch import Tensor

from rankfold.formats import Tucker
from rankfold.linalg import mode_product
from rankfold.training import Integrator
from rankfold.training.integrators import BasisStep, Gradients

__all__ = ["IntegratorContract", "linear_loss_gradients"]


def linear_loss_gradients(tucker: Tucker, gradient: Tensor) -> Gradients:
    """Gradients of ``<gradient, W>`` in core and factors by autograd, as a layer would hand them over."""
    core = tucker.core.clone().requires_grad_()
    factors = tuple(None if f is None else f.clone().requires_grad_() for f in tucker.factors)
    (Tucker(core, factors).to_dense() * gradient).sum().backward()
    assert core.grad is not None
    by_mode = {m: f.grad for m, f in enumerate(factors) if f is not None and f.grad is not None}
    return Gradients(core.grad, by_mode)


class IntegratorContract:
    """Tests of one integrator; a subclass sets ``integrator`` and inherits them.

    Each test takes a loss ``<G, W>`` with a random dense gradient G, so everything has a closed form.
    """

    integrator: Integrator
    learning_rate = 0.1

    @pytest.fixture(params=[(7, 5), (5, 7), (8, 6, 4), (6, 5, 3, 3)], ids=str)
    def problem(self, request: pytest.FixtureRequest) -> tuple[Tucker, Tensor]:
        shape = request.param
        generator = torch.Generator().manual_seed(len(shape))
        dense = torch.randn(*shape, generator=generator, dtype=torch.float64)
        tucker = Tucker.from_dense(dense, ranks=2).rotate()
        return tucker, torch.randn(*shape, generator=generator, dtype=torch.float64)

    def advance(self, tucker: Tucker, gradient: Tensor) -> BasisStep:
        """One basis step from the gradients that a backward pass would give."""
        given = linear_loss_gradients(tucker, gradient)
        return self.integrator.advance([tucker], [given], [self.learning_rate])[0]

    def test_bases_stay_orthonormal(self, problem: tuple[Tucker, Tensor]) -> None:
        step = self.advance(*problem)
        assert float(step.tucker.orthonormality_defect()) <= 1e-13

    def test_shape_stays(self, problem: tuple[Tucker, Tensor]) -> None:
        assert self.advance(*problem).tucker.shape == problem[0].shape

    def test_adaptive_steps_leave_the_tensor_as_it_is(self, problem: tuple[Tucker, Tensor]) -> None:
        tucker, gradient = problem
        step = self.advance(tucker, gradient)
        if self.integrator.adaptive:
            torch.testing.assert_close(step.tucker.to_dense(), tucker.to_dense(), rtol=0, atol=1e-14)
            assert not step.rotations
        else:
            assert step.tucker.ranks == tucker.ranks

    def test_rotations_carry_the_core(self, problem: tuple[Tucker, Tensor]) -> None:
        tucker, gradient = problem
        step = self.advance(tucker, gradient)
        if not self.integrator.adaptive:
            core = tucker.core
            for mode, rotation in step.rotations.items():
                core = mode_product(core, rotation, mode)
            torch.testing.assert_close(step.tucker.core, core)

    def test_core_gradient_comes_with_single_gradient_integrators_only(
        self, problem: tuple[Tucker, Tensor]
    ) -> None:
        step = self.advance(*problem)
        assert (step.core_gradient is not None) == self.integrator.single_gradient
        if step.core_gradient is not None:
            assert step.core_gradient.shape == step.tucker.core.shape

    def test_zero_gradient_moves_nothing(self, problem: tuple[Tucker, Tensor]) -> None:
        tucker, gradient = problem
        step = self.advance(tucker, torch.zeros_like(gradient))
        torch.testing.assert_close(step.tucker.to_dense(), tucker.to_dense(), rtol=0, atol=1e-14)
        assert step.tucker.ranks == tucker.ranks

    def test_many_layers_at_once_give_what_single_calls_give(self, problem: tuple[Tucker, Tensor]) -> None:
        tucker, gradient = problem
        parts = []
        for scale in (1.0, 0.5, 2.0):
            scaled = Tucker(tucker.core * scale, tucker.factors)
            parts.append((scaled, linear_loss_gradients(scaled, gradient)))
        rates = [self.learning_rate] * 3
        together = self.integrator.advance([t for t, _ in parts], [g for _, g in parts], rates)
        for (scaled, given), joint in zip(parts, together, strict=True):
            alone = self.integrator.advance([scaled], [given], [self.learning_rate])[0]
            torch.testing.assert_close(joint.tucker.to_dense(), alone.tucker.to_dense())
