"""Symmetric components ``sum_r s_r u_r o ... o u_r`` of a symmetric tensor.

Axes: n dimensions of every mode, R components, N modes. The signs s_r are fixed; with an odd N they are all 1.
"""

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor

from rankfold._errors import ShapeError
from rankfold.decompose._data import Data, Normal
from rankfold.decompose._gauss_newton import refine
from rankfold.decompose._methods import Settings
from rankfold.decompose._symmetric_normal import symmetric_normal

__all__ = ["SymmetricData", "check_symmetric", "refine_symmetric", "symmetric_factors", "symmetrize"]

# Largest difference between a tensor and its transposes, relative to its norm; choice of this library.
_ASYMMETRY = 1e-6
_PROBES = 4


class SymmetricData:
    """A symmetric tensor as a function of the one matrix of vectors: what the Gauss-Newton method asks of data.

    Arguments:
        data: the tensor; its symmetry is not checked here.
        signs: ``(R,)``, each 1 or -1.
    """

    def __init__(self, data: Data, signs: Tensor) -> None:
        self._data, self._signs = data, signs
        self.order = len(data.shape)

    @property
    def norm(self) -> float:
        """Frobenius norm over the observed entries."""
        return self._data.norm

    def gradients(self, point: Sequence[Tensor]) -> tuple[float, list[Tensor]]:
        """The loss at ``[U]`` and its derivative by U: that by one factor times N, as all N move together."""
        loss, slopes = self._data.gradients(symmetric_factors(point[0], self._signs, self.order))
        return loss, [self.order * slopes[-1]]

    def normal(self, point: Sequence[Tensor]) -> Normal:
        """The Gauss-Newton matrix of U."""
        factors = symmetric_factors(point[0], self._signs, self.order)
        return symmetric_normal(self._data.normal(factors), point[0], self._signs, self.order)


def refine_symmetric(
    data: Data,
    vectors: Tensor,
    signs: Tensor,
    settings: Settings,
    *,
    iterations: int = 200,
    tolerance: float | None = None,
    name: str = "gauss_newton",
) -> Tensor:
    """Minimise the loss over the vectors by damped Gauss-Newton; the signs stay.

    Arguments:
        data: a symmetric tensor.
        vectors: start, ``(n, R)``; not changed.
        signs: ``(R,)``, each 1 or -1; all 1 for an odd order.
        settings: its recorder is read.
        iterations: largest number of steps tried.
        tolerance: stop once a step lowers the loss by less than this share of it; None is the solver's own.
        name: for the trace.

    Returns:
        The vectors.
    """
    # The refinement asks for norm, gradients and normal only, and takes any number of matrices.
    problem = cast(Data, SymmetricData(data, signs))
    (result,) = refine(problem, [vectors], settings, iterations=iterations, tolerance=tolerance, name=name)
    return result


def symmetric_factors(vectors: Tensor, signs: Tensor, order: int) -> list[Tensor]:
    """One factor per mode, all equal but the first, which carries the signs."""
    return [vectors * signs] + [vectors] * (order - 1)


def symmetrize(factors: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """The symmetric component nearest to the direction of each component of a general decomposition.

    Arguments:
        factors: N matrices ``(n, R)``, a decomposition of a symmetric tensor.

    Returns:
        Vectors ``(n, R)`` and signs ``(R,)``. The direction is the dominant one of the N columns of a component,
        the size that of the component along it.

    Raises:
        ShapeError: factors of several shapes.

    Example:
        >>> import torch
        >>> vectors, signs = symmetrize([torch.tensor([[2.0], [0.0]]), torch.tensor([[-0.5], [0.0]])])
        >>> vectors.abs().flatten().tolist(), signs.tolist()
        ([1.0, 0.0], [-1.0])
    """
    if len({factor.shape for factor in factors}) != 1:
        raise ShapeError(
            f"symmetrize: got factors of shapes {[tuple(factor.shape) for factor in factors]}; "
            "components of a symmetric tensor have one shape in all modes."
        )
    order = len(factors)
    columns = torch.stack([factor.double() for factor in factors]).permute(2, 1, 0)
    units = torch.nn.functional.normalize(columns, dim=1, eps=torch.finfo(torch.float64).tiny)
    # Columns equal up to their signs share the dominant left singular vector, whatever the signs are.
    directions = torch.linalg.svd(units, full_matrices=False).U[:, :, :1]
    # Of the two ends of a direction take the one that keeps non-negative components so.
    directions = directions * torch.where(directions.sum(1, keepdim=True) < 0, -1.0, 1.0)
    sizes = (directions * columns).sum(1).prod(1)
    signs = torch.where(sizes < 0, -1.0, 1.0)
    vectors = directions[:, :, 0] * sizes.abs().pow(1 / order).unsqueeze(1)
    if order % 2:
        vectors, signs = vectors * signs.unsqueeze(1), torch.ones_like(signs)
    return vectors.mT.to(factors[0]), signs.to(factors[0])


def check_symmetric(where: str, data: Data) -> None:
    """Refuse data that change when modes are exchanged.

    Arguments:
        where: the caller's name, for the message.
        data: in any form. Random vectors are contracted with it in several orders, so nothing dense is needed.

    Raises:
        ShapeError: dimensions that differ, or a difference above 1e-6 of the norm between the tensor and one of its
            transposes.
    """
    shape = data.shape
    if len(set(shape)) != 1:
        raise ShapeError(
            f"{where}: symmetric=True needs equal dimensions, got shape {shape}; leave symmetric=False for this tensor."
        )
    generator = torch.Generator().manual_seed(0)
    probes = [
        torch.randn(shape[0], _PROBES, generator=generator, dtype=torch.float64).to(data.device, data.dtype)
        for _ in shape
    ]

    def value(order: list[int]) -> Tensor:
        turned = [probes[mode] for mode in order]
        return (data.contract([], turned, 0) * turned[0]).sum(0)

    modes = list(range(len(shape)))
    straight = value(modes)
    # An exchange of two modes and the cyclic shift generate all permutations.
    differences = torch.stack([value([1, 0, *modes[2:]]) - straight, value([*modes[1:], 0]) - straight])
    asymmetry = float(differences.square().mean().sqrt()) / max(data.norm, torch.finfo(torch.float64).tiny)
    if not asymmetry <= max(_ASYMMETRY, 64 * torch.finfo(data.dtype).eps):
        raise ShapeError(
            f"{where}: symmetric=True, but the tensor (or its mask) differs from a transpose of itself by about "
            f"{asymmetry:.1e} of its norm; average it over all orders of its modes, or leave symmetric=False."
        )
