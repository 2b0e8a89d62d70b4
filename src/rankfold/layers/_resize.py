"""Change the shape of a live parameter and keep its identity."""

import torch
from torch import Tensor, nn

__all__ = ["replace_data"]


def replace_data(parameter: nn.Parameter, value: Tensor) -> None:
    """Put a tensor of any shape into a parameter; the object, its hooks and its optimiser state key stay.

    Arguments:
        parameter: the parameter; its gradient is cleared.
        value: the new data, of the parameter's dtype and device.
    """
    parameter.grad = None
    if value.shape != parameter.shape:
        # A loss that is still alive holds the parameter's gradient accumulator, which remembers the old shape
        # and would refuse the next backward. Assigning data drops the accumulator only when the dtype changes,
        # so pass through another one (torch/csrc/autograd/variable.cpp, VariableHooks::set_data).
        other = torch.float16 if parameter.dtype != torch.float16 else torch.float32
        parameter.data = torch.empty(0, dtype=other, device=parameter.device)
    # Row-major to the last stride: contiguous() keeps any stride where a size is 1, torch takes such strides for
    # channels-last and picks another convolution, and a model loaded from a file would not repeat it bit for bit.
    parameter.data = value.detach().reshape(-1).view(value.shape)
