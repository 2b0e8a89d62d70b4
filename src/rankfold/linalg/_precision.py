"""Which dtype a small factorisation is computed in."""

import torch
from torch import Tensor

__all__ = ["matrix_dtype", "spectrum_dtype"]


def matrix_dtype(tensor: Tensor) -> torch.dtype:
    """Dtype for QR of tall matrices: never half precision, otherwise the dtype of the input."""
    return torch.float32 if tensor.dtype in (torch.float16, torch.bfloat16) else tensor.dtype


def spectrum_dtype(tensor: Tensor) -> torch.dtype:
    """Dtype for spectra and Gram matrices: float64, because squaring halves the digits.

    Apple's GPUs have no float64; there the digits are what float32 gives.
    """
    return torch.float32 if tensor.device.type == "mps" else torch.float64
