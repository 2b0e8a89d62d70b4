"""Take parametrisations off a tensor, on copies of modules too."""

from typing import Any

from torch import nn
from torch.nn.utils import parametrize

__all__ = ["multiply_out"]


def multiply_out(module: nn.Module, name: str) -> None:
    """Make a parametrised tensor an ordinary parameter of the value that it has.

    A tensor that was computed from one parameter is this parameter again; one of several is a new parameter.

    Arguments:
        module: holds it.
        name: of the tensor.
    """
    parametrizations: Any = module.parametrizations
    for parameter in parametrizations[name].parameters():
        parameter.grad = None
    # A copy by deepcopy has the class of its original, out of which torch would take the tensor of both.
    shared = type(module)
    own: Any = type(shared.__name__, shared.__bases__, dict(vars(shared)))
    module.__class__ = own
    parametrize.remove_parametrizations(module, name, leave_parametrized=True)
