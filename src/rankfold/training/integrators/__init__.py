"""How one step moves on the manifold: functions on Tucker tensors and gradients, one file each."""

from rankfold._registry import Registry
from rankfold.training.integrators._augmented import augmented_step
from rankfold.training.integrators._basis_gradient import basis_gradients
from rankfold.training.integrators._fixed import fixed_step
from rankfold.training.integrators._parallel import parallel_step
from rankfold.training.integrators._types import BasisStep, Gradients, Integrator

__all__ = ["INTEGRATORS", "BasisStep", "Gradients", "Integrator", "basis_gradients"]

INTEGRATORS: Registry[Integrator] = Registry(
    "integrator",
    Integrator(
        name="augmented",
        advance=augmented_step,
        single_gradient=False,
        adaptive=True,
        summary="widen every basis by its gradient, train the core there, truncate; ranks grow and shrink",
        source="Ceruti, Kusch, Lubich 2022; Zangrando et al. 2024 (TDLRT), algorithm 1",
    ),
    Integrator(
        name="parallel",
        advance=parallel_step,
        single_gradient=True,
        adaptive=True,
        summary="all parts from one gradient; the cheapest adaptive step, wants a smaller tolerance",
        source="Ceruti, Kusch, Lubich 2024 (parallel BUG); Schotthöfer et al. 2025 (GeoLoRA)",
    ),
    Integrator(
        name="fixed",
        advance=fixed_step,
        single_gradient=False,
        adaptive=False,
        summary="turn every basis by a gradient step and train the core there; ranks stay",
        source="Ceruti, Lubich 2022, 'An unconventional robust integrator for dynamical low-rank approximation'",
    ),
)
