"""What tells whether components can be trusted.

Axes: n_i dimensions, R components.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from rankfold.decompose._gram import hadamard_except, model_norm_squared
from rankfold.decompose._result import Degeneracy
from rankfold.linalg import mode_product

__all__ = ["core_consistency", "degeneracy"]


def degeneracy(factors: Sequence[Tensor]) -> Degeneracy:
    """Sizes and cosines of whole components.

    Arguments:
        factors: ``(n_i, R)`` per mode, norms spread over the modes.

    Returns:
        The :class:`Degeneracy`.
    """
    matrices = [factor.double().mT @ factor.double() for factor in factors]
    products = hadamard_except(matrices)
    sizes = products.diagonal().clamp_min(0).sqrt()
    norm = float(model_norm_squared(matrices).clamp_min(0).sqrt())
    cosines = products / torch.outer(sizes, sizes).clamp_min(torch.finfo(torch.float64).tiny)
    others = ~torch.eye(len(sizes), dtype=torch.bool, device=sizes.device)
    smallest = float(cosines[others].min()) if len(sizes) > 1 else 1.0
    return Degeneracy(float(sizes.max()) / norm if norm > 0 else 0.0, smallest)


def core_consistency(tensor: Tensor, factors: Sequence[Tensor]) -> float | None:
    """How close the best Tucker core for these factors is to the superdiagonal of ones that CP supposes.

    Arguments:
        tensor: dense and complete.
        factors: ``(n_i, R)`` per mode, components with their sizes in them.

    Returns:
        ``100 (1 - ||G - I||² / R)``, or None where the rank exceeds a dimension and the core is not determined.

    Reference:
        Bro and Kiers 2003, "A new efficient method for determining the number of components in PARAFAC models",
        equation 7.
    """
    rank = factors[0].shape[1]
    if rank > min(tensor.shape):
        return None
    core = tensor.double()
    for mode, factor in enumerate(factors):
        core = mode_product(core, torch.linalg.pinv(factor.double()), mode)
    index = torch.arange(rank, device=core.device)
    core[(index,) * len(factors)] -= 1
    return 100 * (1 - float(core.square().sum()) / rank)
