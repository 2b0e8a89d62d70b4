"""Square roots of second moments, which turn a weighted error into a plain one."""

from dataclasses import dataclass

import torch
from torch import Tensor

from rankfold.linalg import mode_product

__all__ = ["Root", "root_of"]

# Directions that calibration hardly met keep this share of the mean second moment: they may occur in use, and
# without a floor the inverse root would blow up what is left of them.
_FLOOR = 1e-6


@dataclass(frozen=True, slots=True)
class Root:
    """Symmetric square root of a second moment, and its inverse; vectors stand for diagonal matrices.

    Arguments:
        half: ``(n, n)`` or ``(n,)``.
        inverse: likewise.
    """

    half: Tensor
    inverse: Tensor

    def weigh(self, tensor: Tensor, mode: int) -> Tensor:
        """Multiply a mode with the root."""
        return _times(self.half, tensor, mode)

    def unweigh(self, tensor: Tensor, mode: int) -> Tensor:
        """Multiply a mode with the inverse of the root."""
        return _times(self.inverse, tensor, mode)


def root_of(moment: Tensor) -> Root:
    """The root of a positive semidefinite matrix, or of a vector of frequencies, both in float64.

    Example:
        >>> root_of(torch.tensor([4.0, 9.0])).half
        tensor([2., 3.])
    """
    if moment.ndim == 1:
        values = moment.clamp_min(_floor(moment.mean()))
        return Root(values.sqrt(), values.rsqrt())
    values, vectors = torch.linalg.eigh((moment + moment.mT) / 2)
    values = values.clamp_min(_floor(values.mean()))
    return Root((vectors * values.sqrt()) @ vectors.mT, (vectors * values.rsqrt()) @ vectors.mT)


def _floor(mean: Tensor) -> float:
    value = float(mean)
    return _FLOOR * value if value > 0 else 1.0  # nothing was met at all: every direction counts alike


def _times(root: Tensor, tensor: Tensor, mode: int) -> Tensor:
    if root.ndim == 1:
        return tensor * root.reshape(-1, *(1,) * (tensor.ndim - 1 - mode))
    return mode_product(tensor, root, mode)
