"""What ``nn.Embedding`` does to the rows it looked up, and to their gradients."""

import torch
from torch import Tensor

__all__ = ["gradient_weight", "shortened"]


def shortened(rows: Tensor, max_norm: float, norm_type: float) -> Tensor:
    """Rows longer than ``max_norm`` brought to that length, which counts as a constant for differentiation."""
    length = torch.linalg.vector_norm(rows.detach(), ord=norm_type, dim=-1, keepdim=True)
    # The small constant is that of torch's embedding_renorm_.
    return rows * torch.where(length > max_norm, max_norm / (length + 1e-7), 1.0)


def gradient_weight(
    input: Tensor, dtype: torch.dtype, *, entries: int, by_frequency: bool, padding_idx: int | None = None
) -> Tensor | None:
    """What nn.Embedding multiplies the gradient of each looked-up row by: 0 for padding, 1/count by frequency."""
    if padding_idx is None and not by_frequency:
        return None
    weight = torch.ones(input.shape, dtype=dtype, device=input.device)
    if by_frequency:
        counts = torch.bincount(input.flatten(), minlength=entries)
        weight = weight / counts[input]
    if padding_idx is not None:
        weight = weight * (input != padding_idx)
    return weight.unsqueeze(-1)
