"""When the entries of a tensor must be brought near 1."""

import torch
from torch import Tensor

from rankfold.decompose._hooi import squared_norm

__all__ = ["in_range", "scale_of"]

# Norms outside this range may have squares outside that of the dtype.
_SMALL, _GREAT = 1e-10, 1e15


def in_range(norm: float) -> bool:
    """Whether the square of a norm is safe in every dtype."""
    return _SMALL <= norm <= _GREAT


def scale_of(tensor: Tensor) -> float:
    """What to divide a tensor by: 1 where squares are safe, otherwise the largest entry; 0 for a zero tensor."""
    if in_range(squared_norm(tensor) ** 0.5):
        return 1.0
    least, most = (float(bound) for bound in torch.aminmax(tensor))
    return max(-least, most)
