"""The masks of attention, brought to one additive form.

Axes: N batch, H heads, L queries, S keys.
"""

import torch
from torch import Tensor

from rankfold._errors import ShapeError

__all__ = ["merged_mask"]


def merged_mask(
    attn_mask: Tensor | None,
    key_padding_mask: Tensor | None,
    sizes: tuple[int, int, int, int],
    dtype: torch.dtype,
) -> Tensor | None:
    """The sum of both masks, as numbers to add to the scores; minus infinity where attention is forbidden.

    Arguments:
        attn_mask: ``(L, S)`` or ``(N * H, L, S)``; where booleans are True, or a number to add.
        key_padding_mask: ``(N, S)``, likewise.
        sizes: N, H, L and S.
        dtype: of the scores.

    Returns:
        A tensor that broadcasts to ``(N, H, L, S)``, or None without masks.

    Raises:
        ShapeError: a mask of another shape, or neither of booleans nor of floating-point numbers.
    """
    batch, heads, queries, keys = sizes
    merged = None
    if attn_mask is not None:
        allowed = ((queries, keys), (batch * heads, queries, keys))
        merged = _additive("attn_mask", attn_mask, allowed, dtype)
        merged = merged.view(batch, heads, queries, keys) if merged.ndim == 3 else merged[None, None]
    if key_padding_mask is not None:
        padding = _additive("key_padding_mask", key_padding_mask, ((batch, keys),), dtype)[:, None, None]
        merged = padding if merged is None else merged + padding
    return merged


def _additive(name: str, mask: Tensor, shapes: tuple[tuple[int, ...], ...], dtype: torch.dtype) -> Tensor:
    if tuple(mask.shape) not in shapes:
        raise ShapeError(
            f"SplitAttention: {name} has shape {tuple(mask.shape)}; it must be {' or '.join(map(str, shapes))}."
        )
    if mask.dtype == torch.bool:
        return torch.zeros_like(mask, dtype=dtype).masked_fill_(mask, float("-inf"))
    if not mask.is_floating_point():
        raise ShapeError(
            f"SplitAttention: {name} holds {mask.dtype}; pass booleans or floating-point numbers."
        )
    return mask.to(dtype)
