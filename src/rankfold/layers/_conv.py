"""Factorised convolutions.

Axes of a weight: O output channels, I input channels per group, then the window. In the channel modes the
weight becomes three plain convolutions: 1x1 to the input rank, the window at low rank, 1x1 to the outputs
(Kim et al. 2016, "Compression of deep convolutional neural networks", section 3). Factors of the window's
modes are multiplied into the small core before the forward. With G groups the factor that runs over the
channels of one group serves all groups alike, and so does the core.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import prod
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from rankfold.layers._base import FactorizedLayer, RankLike
from rankfold.layers._chain import Chain
from rankfold.layers._sides import PointwiseSide
from rankfold.layers._windows import ConvolutionWindow

__all__ = ["Conv1d", "Conv2d", "Conv3d", "ConvTranspose2d"]


class Stages(NamedTuple):
    """Weights of the up to three convolutions; None where a channel mode has no factor."""

    reduce: Tensor | None
    window: Tensor
    expand: Tensor | None


class _Conv(FactorizedLayer):
    """Shared by all convolutions; subclasses give the dimension and which mode is which channel."""

    # Set from a plain layer of the same arguments, by _configure.
    in_channels: int
    out_channels: int
    kernel_size: tuple[int, ...]
    stride: Any
    padding: Any
    dilation: Any
    groups: int
    padding_mode: str
    output_padding: Any
    _reversed_padding_repeated_twice: list[int]

    dimension: ClassVar[int]
    pointwise_class: ClassVar[type[nn.Module]]
    transposed: ClassVar[bool] = False
    dense_arguments = (
        "in_channels",
        "out_channels",
        "kernel_size",
        "stride",
        "padding",
        "dilation",
        "groups",
        "padding_mode",
    )

    def _configure(
        self,
        arguments: dict[str, Any],
        bias: bool,
        rank: RankLike,
        modes: Sequence[int],
        generator: torch.Generator | None,
        device: Any,
        dtype: Any,
    ) -> None:
        # torch itself checks and normalises the arguments, on a layer without storage.
        template = self.dense_class(**arguments, bias=False, device="meta")
        for name in (*self.dense_arguments, "_reversed_padding_repeated_twice", "output_padding"):
            setattr(self, name, getattr(template, name))
        weight = template.weight
        assert isinstance(weight, Tensor)
        size = arguments["out_channels"] if bias else None
        self._create(tuple(weight.shape), size, rank, modes, generator, device, dtype)

    def _stages(self, keep: tuple[int, ...]) -> Stages:
        """Weights of the chain that keeps the factors of the modes in ``keep`` apart."""
        window, groups, ones = self._absorbed(keep), self.groups, (1,) * self.dimension
        incoming, outgoing = self.channel_modes
        reduce = expand = None
        if incoming in keep:
            factor = self.factors[incoming]
            if self.transposed:  # the factor runs over all inputs: each group has its own rows
                split = factor.reshape(groups, -1, factor.shape[1])
                reduce = split.mT.reshape(-1, split.shape[1], *ones)
            else:
                reduce = _tiled(factor.mT, groups).reshape(-1, factor.shape[0], *ones)
        if outgoing in keep:
            factor = self.factors[outgoing]
            rows = _tiled(factor, groups) if self.transposed else factor
            expand = rows.reshape(*rows.shape, *ones)
        if 0 in keep:  # mode 0 of the weight runs over all groups, so a low-rank core serves each of them
            window = _tiled(window, groups)
        return Stages(reduce, window, expand)

    def _chain(self, sides: tuple[int, ...], *details: Any) -> Chain:
        (output_padding,) = details
        pad = tuple(self._reversed_padding_repeated_twice)
        if self.padding_mode == "zeros" and not isinstance(self.padding, str):
            pad = ()
        build = _convolution_chain if torch.compiler.is_compiling() else _known_chain
        return build(
            sides,
            self.channel_modes,
            self.transposed,
            self.groups,
            self.stride,
            (0,) * self.dimension if isinstance(self.padding, str) or pad else self.padding,
            self.dilation,
            output_padding,
            "constant" if self.padding_mode == "zeros" else self.padding_mode,
            pad,
        )

    def _images(self, input: Tensor, output_padding: tuple[int, ...]) -> Tensor:
        """Run on a batch, or on one image without a batch axis."""
        if input.ndim == self.dimension + 1:
            return self._run(input.unsqueeze(0), output_padding).squeeze(0)
        return self._run(input, output_padding)

    def _positions_out(self, positions: int) -> int:
        stride = prod(self.stride)
        return positions * stride if self.transposed else -(-positions // stride)

    def _fold_stages(self, keep: tuple[int, ...]) -> list[nn.Module]:
        reduce, window, expand = self._stages(keep)
        options = self._dense_options()
        if reduce is not None:
            options["in_channels"] = reduce.shape[0]
        if expand is not None:
            options["out_channels"] = expand.shape[1] * self.groups
        stages = [self._plain(self.dense_class, window, self.bias if expand is None else None, **options)]
        if reduce is not None:
            stages.insert(0, self._pointwise(reduce, None))
        if expand is not None:
            stages.append(self._pointwise(expand, self.bias))
        return stages

    def _pointwise(self, weight: Tensor, bias: Tensor | None) -> nn.Module:
        channels = {"in_channels": weight.shape[1] * self.groups, "out_channels": weight.shape[0]}
        return self._plain(self.pointwise_class, weight, bias, **channels, kernel_size=1, groups=self.groups)


def _convolution_chain(
    sides: tuple[int, ...],
    channel_modes: tuple[int, int],
    transposed: bool,
    groups: int,
    stride: tuple[int, ...],
    padding: tuple[int, ...],
    dilation: tuple[int, ...],
    output_padding: tuple[int, ...],
    pad_mode: str,
    pad: tuple[int, ...],
) -> Chain:
    """The chain of a convolution whose input is padded by the kernel or, with ``pad``, before it."""
    incoming, outgoing = channel_modes
    # Mode 0 runs over the channels of all groups, mode 1 over those of one.
    apart = {mode: PointwiseSide(groups, mode == 1) for mode in sides}
    if pad_mode == "constant" and pad[::2] == pad[1::2]:  # zeros, as many on both sides
        padding, pad = pad[::-2] or padding, ()
    # Padding commutes with the 1x1 reduction, so only the few reduced channels are padded.
    mode = pad_mode if pad else None
    window = ConvolutionWindow(
        stride, padding, dilation, output_padding, transposed, groups, 0 in apart, mode, pad
    )
    plain = groups == 1 and len(apart) == 2
    return Chain(apart.get(incoming), window, apart.get(outgoing), channel_modes, plain)


def _tiled(matrix: Tensor, groups: int) -> Tensor:
    return matrix if groups == 1 else matrix.repeat(groups, *(1,) * (matrix.ndim - 1))


_known_chain = lru_cache(maxsize=1024)(_convolution_chain)


class _ForwardConv(_Conv):
    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, ...],
        stride: int | tuple[int, ...] = 1,
        padding: str | int | tuple[int, ...] = 0,
        dilation: int | tuple[int, ...] = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
        *,
        rank: RankLike,
        modes: Sequence[int] = (0, 1),
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        arguments = {
            "in_channels": in_channels,
            "out_channels": out_channels,
            "kernel_size": kernel_size,
            "stride": stride,
            "padding": padding,
            "dilation": dilation,
            "groups": groups,
            "padding_mode": padding_mode,
        }
        self._configure(arguments, bias, rank, modes, generator, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        """Map ``(N, C_in, ...)`` or ``(C_in, ...)`` to the output of the dense convolution."""
        return self._images(input, (0,) * self.dimension)


_ARGUMENTS = """

    Arguments:
        in_channels, out_channels, kernel_size, stride, padding, dilation, groups: as of the ``nn`` layer.
        bias, padding_mode, device, dtype: likewise.
        rank: one number, one per factorised mode, or a rank policy.
        modes: modes of the weight to factorise: 0 output channels, 1 input channels, 2 and up the window.
        generator: source of the random initial values; None is torch's global one.

    Raises:
        RankError: a rank that the shape of the weight does not allow.
        ShapeError: modes that the weight does not have.
"""


class Conv1d(_ForwardConv):
    __doc__ = f"""``nn.Conv1d`` with a Tucker weight.{_ARGUMENTS}
    Example:
        >>> import torch
        >>> Conv1d(8, 16, 3, padding="same", rank=4)(torch.zeros(2, 8, 10)).shape
        torch.Size([2, 16, 10])
    """

    dense_class, pointwise_class, dimension = nn.Conv1d, nn.Conv1d, 1


class Conv2d(_ForwardConv):
    __doc__ = f"""``nn.Conv2d`` with a Tucker weight.{_ARGUMENTS}
    Example:
        >>> import torch
        >>> layer = Conv2d(64, 128, 3, stride=2, padding=1, rank=16)
        >>> layer(torch.zeros(2, 64, 8, 8)).shape, layer.ranks
        (torch.Size([2, 128, 4, 4]), (16, 16, 3, 3))
    """

    dense_class, pointwise_class, dimension = nn.Conv2d, nn.Conv2d, 2
    channels_last = True


class Conv3d(_ForwardConv):
    __doc__ = f"""``nn.Conv3d`` with a Tucker weight.{_ARGUMENTS}
    Example:
        >>> import torch
        >>> Conv3d(8, 16, 3, rank=4, modes=(0, 1, 2, 3, 4))(torch.zeros(2, 8, 5, 5, 5)).shape
        torch.Size([2, 16, 3, 3, 3])
    """

    dense_class, pointwise_class, dimension = nn.Conv3d, nn.Conv3d, 3


class ConvTranspose2d(_Conv):
    """``nn.ConvTranspose2d`` with a Tucker weight.

    Arguments:
        in_channels, out_channels, kernel_size, stride, padding, output_padding, groups: as of ``nn.ConvTranspose2d``.
        bias, dilation, padding_mode, device, dtype: likewise.
        rank: one number, one per factorised mode, or a rank policy.
        modes: modes of the weight to factorise: 0 input channels, 1 output channels, 2 and 3 the window.
        generator: source of the random initial values; None is torch's global one.

    Raises:
        RankError: a rank that the shape of the weight does not allow.
        ShapeError: modes that the weight does not have.

    Example:
        >>> import torch
        >>> ConvTranspose2d(16, 8, 4, stride=2, padding=1, rank=4)(torch.zeros(2, 16, 5, 5)).shape
        torch.Size([2, 8, 10, 10])
    """

    dense_class, pointwise_class, dimension = nn.ConvTranspose2d, nn.Conv2d, 2
    transposed = True
    channel_modes = (0, 1)
    dense_arguments = (*_Conv.dense_arguments, "output_padding")

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int | tuple[int, int],
        stride: int | tuple[int, int] = 1,
        padding: int | tuple[int, int] = 0,
        output_padding: int | tuple[int, int] = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: int | tuple[int, int] = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
        *,
        rank: RankLike,
        modes: Sequence[int] = (0, 1),
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        arguments = {
            "in_channels": in_channels,
            "out_channels": out_channels,
            "kernel_size": kernel_size,
            "stride": stride,
            "padding": padding,
            "output_padding": output_padding,
            "groups": groups,
            "dilation": dilation,
            "padding_mode": padding_mode,
        }
        self._configure(arguments, bias, rank, modes, generator, device, dtype)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        """Map ``(N, C_in, H, W)`` or ``(C_in, H, W)`` to the output of the dense transposed convolution."""
        extra: Any = nn.ConvTranspose2d._output_padding(
            self,  # pyright: ignore[reportArgumentType]
            input,
            output_size,
            self.stride,
            self.padding,
            self.kernel_size,  # pyright: ignore[reportArgumentType]
            self.dimension,
            self.dilation,
        )
        return self._images(input, tuple(extra))
