"""Signs that rounding does not decide."""

import torch
from torch import Tensor

__all__ = ["same", "sign_of_largest"]


def same(dtype: torch.dtype) -> float:
    """Relative difference below which numbers count as equal, so that rounding decides no order and no sign."""
    return torch.finfo(dtype).eps ** 0.5  # half the digits: a choice of this library


def sign_of_largest(columns: Tensor, dtype: torch.dtype) -> Tensor:
    """Sign per column of the first entry of largest modulus, of numbers known to the digits of a dtype."""
    modulus, places = columns.abs(), torch.arange(columns.shape[0], device=columns.device).unsqueeze(1)
    largest = modulus >= (1 - same(dtype)) * modulus.amax(0)
    place = torch.where(largest, places, columns.shape[0] - 1).amin(0, keepdim=True)
    return torch.where(columns.gather(0, place)[0] < 0, -1.0, 1.0).to(columns.dtype)
