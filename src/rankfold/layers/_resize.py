"""Change the shape of a live parameter and keep its identity."""

import torch
from torch import Tensor, nn

__all__ = ["laid_out_as", "replace_data"]


def replace_data(parameter: nn.Parameter, value: Tensor, channels_last: bool = False) -> None:
    """Put a tensor of any shape into a parameter; the object, its hooks and its optimiser state key stay.

    Arguments:
        parameter: the parameter; its gradient is cleared.
        value: the new data, of the parameter's dtype and device.
        channels_last: lay a tensor of order 4 out as convolutions of channels-last images want their weight.
    """
    parameter.grad = None
    if value.shape != parameter.shape:
        # A loss that is still alive holds the parameter's gradient accumulator, which remembers the old shape
        # and would refuse the next backward. Assigning data drops the accumulator only when the dtype changes,
        # so pass through another one (torch/csrc/autograd/variable.cpp, VariableHooks::set_data).
        other = torch.float16 if parameter.dtype != torch.float16 else torch.float32
        parameter.data = torch.empty(0, dtype=other, device=parameter.device)
    # One memory layout, to the last stride, whatever computed the values: kernels sum in the order of the layout, and a
    # resumed run, whose tensors come from a file, must sum in the same order. contiguous() would keep any stride where
    # a size is 1, which torch may take for another layout and pick another convolution.
    value = value.detach()
    if channels_last and value.ndim == 4:
        moved = value.permute(0, 2, 3, 1)
        parameter.data = moved.reshape(-1).view(moved.shape).permute(0, 3, 1, 2)
    else:
        parameter.data = value.reshape(-1).view(value.shape)


def laid_out_as(parameter: Tensor, value: Tensor) -> Tensor:
    """A value in the memory layout of a parameter of its shape; others as they are.

    Fused optimisers go through the memory of parameter, gradient and state side by side and compare no strides.
    """
    if value.shape != parameter.shape or value.stride() == parameter.stride():
        return value
    return torch.empty_like(parameter, dtype=value.dtype, device=value.device).copy_(value)
