"""Augmented basis step: the old bases and the gradients', together."""

from collections.abc import Sequence

from torch import Tensor

from rankfold.formats import Tucker
from rankfold.linalg import augment
from rankfold.training.integrators._basis_gradient import BasisGradient, basis_gradients
from rankfold.training.integrators._types import BasisStep, Gradients

__all__ = ["augmented_step", "widened"]


def augmented_step(
    tuckers: Sequence[Tucker], gradients: Sequence[Gradients], learning_rates: Sequence[float]
) -> list[BasisStep]:
    """Widen every basis to span[U_i, dL/dK_i]; the tensors stay what they are.

    A K-step of any length from U_i S_i lies in this span, and with the old basis it spans it (as the
    tests check), so the learning rates do not enter.

    Arguments:
        tuckers: tensors with orthonormal factors.
        gradients: their gradients.
        learning_rates: not used.

    Returns:
        Basis steps without core gradients: those need a pass in the wider bases.
    """
    found = basis_gradients(tuckers, gradients)
    return [BasisStep(tucker, {}) for tucker in widened(tuckers, found)]


def widened(tuckers: Sequence[Tucker], found: Sequence[dict[int, BasisGradient]]) -> list[Tucker]:
    """Every tensor in bases widened by its K-gradients; all layers and modes in one call of ``augment``."""
    places: list[tuple[int, int]] = []
    bases: list[Tensor] = []
    directions: list[Tensor] = []
    for index, tucker in enumerate(tuckers):
        for mode, basis in enumerate(tucker.factors):
            if basis is not None and basis.shape[0] > basis.shape[1]:
                places.append((index, mode))
                bases.append(basis)
                directions.append(found[index][mode].gradient)
    wider: list[dict[int, Tensor]] = [{} for _ in tuckers]
    for (index, mode), basis in zip(places, augment(bases, directions), strict=True):
        wider[index][mode] = basis
    return [tucker.widened(factors) for tucker, factors in zip(tuckers, wider, strict=True)]
