"""Weights of plain layers written in any format, as a parametrisation of torch."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from rankfold._errors import OptionError, ShapeError
from rankfold.formats import Format
from rankfold.layers._kernel_matrix import kernel_from_matrix, kernel_matrix_shape
from rankfold.layers._require import require_module

__all__ = ["FormatWeight", "write_weight"]


class FormatWeight(nn.Module):
    """Parametrisation of a weight by the tensors of a format; :func:`write_weight` registers it.

    The tensors are parameters, ``layer.parametrizations.weight.original0`` and so on in the order of the format's
    ``tensors``. The dense weight is multiplied out whenever it is read: what is saved is parameters, not time. The
    layers of this library, whose weights are Tucker tensors, save both.

    Arguments:
        value: in any format, of the weight's shape, or of that of :func:`kernel_matrix` of it.
        shape: of the weight.
    """

    #: What a forward makes of the value before it multiplies out, if anything.
    perturb: nn.Module

    def __init__(self, value: Format, shape: tuple[int, ...]) -> None:
        super().__init__()
        self.shape = shape
        self._given: Format | None = value
        self.template = value.to(device="meta")

    def forward(self, *tensors: Tensor) -> Tensor:
        """The dense weight."""
        value = self.value(*tensors)
        perturb = self._modules.get("perturb")
        if perturb is not None:
            value = perturb(value)
        dense = value.to_dense()
        return dense if tuple(dense.shape) == self.shape else kernel_from_matrix(dense, self.shape)

    def value(self, *tensors: Tensor) -> Format:
        """The value that these tensors are."""
        return self.template._rebuilt(tensors)

    def right_inverse(self, weight: Tensor) -> tuple[Tensor, ...]:
        """The tensors of the value it was made with, once; a dense weight cannot be assigned later."""
        if self._given is None:
            raise OptionError(
                "FormatWeight: the weight is stored in a format and cannot be assigned as a dense tensor; assign a "
                "value of the format to its place in rankfold.layers.format_sites(model)."
            )
        tensors, self._given = self._given.tensors, None
        return tuple(tensor.detach().clone() for tensor in tensors)

    def extra_repr(self) -> str:
        """What the printed module tells."""
        return f"{type(self.template).__name__}(shape={self.template.shape}, {self.template._ranks_text()})"


@torch.inference_mode(False)  # parameters made in inference mode could never be trained
def write_weight(layer: nn.Module, value: Format) -> nn.Module:
    """Store the weight of a plain layer in a format from now on, in place.

    Make the optimiser after this: the parameters are the tensors of the format. ``torch.nn.utils.parametrize``'s
    ``remove_parametrizations(layer, "weight")`` gives the dense layer back.

    Arguments:
        layer: any layer with a parameter ``weight``.
        value: in any format, of the weight's shape, dtype and device. For a convolution of images it may also have
            the shape of its :func:`kernel_matrix`.

    Returns:
        The layer.

    Raises:
        OptionError: the layer has no parameter ``weight``, or the value is in no format.
        ShapeError: shape, dtype or device is not that of the weight.

    Example:
        >>> import torch
        >>> from rankfold import TT
        >>> layer = nn.Conv2d(8, 16, 3)
        >>> layer = write_weight(layer, TT.from_dense(layer.weight.detach(), ranks=4))
        >>> layer.weight.shape, sum(p.numel() for p in layer.parametrizations.weight.parameters())
        (torch.Size([16, 8, 3, 3]), 237)
    """
    require_module(layer, "write_weight")
    weight = layer._parameters.get("weight")
    if weight is None or parametrize.is_parametrized(layer, "weight"):
        raise OptionError(
            f"write_weight: {type(layer).__name__} has no parameter 'weight' of its own; pass a plain layer that has."
        )
    if not isinstance(value, Format):
        raise OptionError(
            f"write_weight: value is a {type(value).__name__}; pass a Tucker, CP or TT, such as "
            "TT.from_dense(layer.weight.detach(), ranks=4)."
        )
    shape = tuple(weight.shape)
    allowed = {shape, kernel_matrix_shape(shape)} if len(shape) == 4 else {shape}
    if value.shape not in allowed or (value.dtype, value.device) != (weight.dtype, weight.device):
        raise ShapeError(
            f"write_weight: got {value!r} for a {weight.dtype} weight of shape {shape} on {weight.device}; shape, "
            "dtype and device must agree."
        )
    written: Any = FormatWeight(value, shape).train(layer.training)
    weight.grad = None
    parametrize.register_parametrization(layer, "weight", written)
    return layer
