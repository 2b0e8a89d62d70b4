"""Whether something looks through the operations of a forward or backward instead of just running them."""

import torch
from torch import Tensor
from torch._C._functorch import is_legacy_batchedtensor

__all__ = ["being_traced", "in_a_batch", "under_transform"]


def under_transform() -> bool:
    """Whether torch.func (vmap, grad, jvp, batched gradients) is at work; its tensors know no layout and no data."""
    return torch._C._are_functorch_transforms_active()


def in_a_batch(gradient: Tensor) -> bool:
    """Whether a gradient stands for many, as with ``is_grads_batched``."""
    return under_transform() or is_legacy_batchedtensor(gradient)


def being_traced(input: Tensor) -> bool:
    """Whether a compiler, a tracer, torch.func or forward-mode AD must see plain operations."""
    return (
        torch.compiler.is_compiling()
        or torch._C._get_tracing_state() is not None
        or type(input) not in (Tensor, torch.nn.Parameter)
        or under_transform()
        or torch.autograd.forward_ad._current_level >= 0
    )
