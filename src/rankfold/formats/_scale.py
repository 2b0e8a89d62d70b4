"""Powers of two taken out of tensors, so that squares and products of many parts stay in range."""

import torch
from torch import Tensor

from rankfold.linalg import spectrum_dtype

__all__ = ["scaled", "shifted"]

# Normal float64 numbers span 2^-1022 to 2^1023; a factor 2^1000 brings subnormal ones near 1 as well.
_SMALLEST = -1000.0


def scaled(tensor: Tensor, *, columns: bool = False) -> tuple[Tensor, Tensor]:
    """Split a tensor into entries near 1 and powers of two.

    Arguments:
        tensor: any shape; ``(n, R)`` with ``columns``.
        columns: one power per column instead of one for all.

    Returns:
        The float64 tensor with largest modulus in [1, 2), and the exponent (one per column), -inf where all is
        zero. The exponent is a constant for differentiation.
    """
    shape = tensor.shape[1:] if columns else ()
    work = tensor.to(spectrum_dtype(tensor))
    if tensor.numel() == 0:
        return work, torch.full(shape, -torch.inf, dtype=work.dtype, device=work.device)
    modulus = tensor.detach().abs()
    exponent = (modulus.amax(0) if columns else modulus.amax()).to(work.dtype).log2().floor()
    bounded = exponent.clamp_min(_SMALLEST)
    finite = torch.where(exponent.isfinite(), bounded, 0.0)
    return work * torch.exp2(-finite), torch.where(exponent == -torch.inf, exponent, finite)


def shifted(tensor: Tensor, exponent: Tensor) -> Tensor:
    """Multiply numbers not far from 1 by powers of two that may lie far out of range."""
    # Beyond 2^2000 any result is zero or infinite; in two halves neither factor leaves the range before.
    bounded = exponent.clamp(-2000, 2000)
    half = (bounded / 2).floor()
    return tensor * torch.exp2(half) * torch.exp2(bounded - half)
