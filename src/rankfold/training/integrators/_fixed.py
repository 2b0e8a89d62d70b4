"""Fixed-rank basis step: turn every basis, keep its width."""

from collections.abc import Sequence

from rankfold.formats import Tucker
from rankfold.linalg import mode_product, orthonormalize
from rankfold.training.integrators._basis_gradient import basis_gradients
from rankfold.training.integrators._types import BasisStep, Gradients

__all__ = ["fixed_step"]


def fixed_step(
    tuckers: Sequence[Tucker], gradients: Sequence[Gradients], learning_rates: Sequence[float]
) -> list[BasisStep]:
    """One gradient step of K_i = U_i S_i in every mode, its basis, and the core seen in the new bases.

    Arguments:
        tuckers: tensors with orthonormal factors.
        gradients: their gradients.
        learning_rates: step length of the K-steps of each tensor.

    Returns:
        Basis steps with rotations M_i = U_i(new)ᵀ U_i(old); the tensor is projected on the new bases.
    """
    steps = []
    found = basis_gradients(tuckers, gradients)
    for tucker, parts, rate in zip(tuckers, found, learning_rates, strict=True):
        core, factors, rotations = tucker.core, list(tucker.factors), {}
        for mode, part in parts.items():
            old = factors[mode]
            assert old is not None
            if old.shape[0] == old.shape[1]:
                continue
            moved = old.to(part.scale.dtype) @ part.scale - rate * part.gradient
            basis = orthonormalize(moved)
            rotations[mode] = (basis.mT @ old.to(basis.dtype)).to(old.dtype)
            core, factors[mode] = mode_product(core, rotations[mode], mode), basis.to(old.dtype)
        steps.append(BasisStep(Tucker(core.contiguous(), tuple(factors)), rotations))
    return steps
