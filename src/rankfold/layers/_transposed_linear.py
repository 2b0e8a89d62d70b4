"""Factorised fully connected layer whose weight is stored as inputs x outputs, as GPT-2's ``Conv1D`` does.

Axes: I inputs, O outputs, P and Q ranks. W_IO = U_IP S_PQ V_OQᵀ.
"""

from collections.abc import Sequence
from typing import Any, Self

import torch
from torch import Tensor, nn

from rankfold.layers._base import FactorizedLayer, RankLike
from rankfold.layers._chain import Chain
from rankfold.layers._sides import MatrixSide
from rankfold.layers._windows import MatrixWindow

__all__ = ["TransposedLinear"]

_SIDE, _WINDOW = MatrixSide(), MatrixWindow(incoming=0)
_CHAINS: dict[tuple[int, ...], Chain] = {
    sides: Chain(
        _SIDE if 0 in sides else None, _WINDOW, _SIDE if 1 in sides else None, (0, 1), plain=len(sides) == 2
    )
    for sides in ((0, 1), (0,), (1,), ())
}


class TransposedLinear(FactorizedLayer):
    """``x W + b`` with the weight U S Vᵀ of shape (inputs, outputs), the transpose of ``nn.Linear``'s.

    It stands for ``Conv1D`` of the transformers library, which GPT-2 is made of. ``from_dense`` takes a layer of
    that class, and ``dense`` gives one back; a layer built by hand gives an ``nn.Linear``.

    Arguments:
        in_features, out_features, bias, device, dtype: as of ``nn.Linear``.
        rank: one number, a pair (input, output), or a rank policy.
        generator: source of the random initial values; None is torch's global one.

    Raises:
        RankError: a rank above ``min(in_features, out_features)`` or below 1.

    Example:
        >>> import torch
        >>> layer = TransposedLinear(800, 500, rank=8)
        >>> layer(torch.zeros(2, 800)).shape, layer.weight_shape, layer.tucker.num_parameters
        (torch.Size([2, 500]), (800, 500), 10464)
    """

    dense_class = nn.Linear
    dense_arguments = ("in_features", "out_features")
    channel_modes = (0, 1)

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        rank: RankLike,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__()
        self.in_features, self.out_features = in_features, out_features
        shape, size = (in_features, out_features), out_features if bias else None
        self._create(shape, size, rank, (0, 1), generator, device, dtype)

    @classmethod
    def like(cls, module: nn.Module, *, rank: RankLike, modes: Sequence[int] | None = None) -> Self:
        """As of the base class; the sizes are read off the weight, and the class is kept for :meth:`dense`."""
        weight, bias = module.weight, module.bias
        assert isinstance(weight, Tensor)
        with torch.device("meta"):
            layer = cls(*weight.shape, bias=bias is not None, rank=rank, dtype=weight.dtype)
        layer.to_empty(device=weight.device)
        if isinstance(bias, nn.Parameter):
            layer.bias = bias
        layer.dense_class = type(module)
        return layer.train(module.training)

    def forward(self, input: Tensor) -> Tensor:
        """Map ``(..., in_features)`` to ``(..., out_features)``."""
        return self._run(input)

    def _chain(self, sides: tuple[int, ...], *details: Any) -> Chain:
        return _CHAINS[sides]

    def _fan_in(self) -> int:
        return self.in_features

    @torch.no_grad()
    def dense(self) -> nn.Module:
        """The layer it was made from, of the same class, with the weight multiplied out."""
        if self.dense_class is nn.Linear:
            return self._linear(self.weight.mT, self.bias)
        with torch.device("meta"):
            module = self.dense_class(self.out_features, self.in_features)
        value = self.weight.detach().clone(memory_format=torch.contiguous_format)
        module.weight = nn.Parameter(value, requires_grad=self.core.requires_grad)
        assert self.bias is not None
        module.bias = self.bias
        return module.train(self.training)

    def _fold_stages(self, keep: tuple[int, ...]) -> list[nn.Module]:
        weights = [self._absorbed(keep).mT]
        if 0 in keep:
            weights.insert(0, self.factors[0].mT)
        if 1 in keep:
            weights.append(self.factors[1])
        biases = [None] * (len(weights) - 1) + [self.bias]
        return [self._linear(weight, bias) for weight, bias in zip(weights, biases, strict=True)]

    def _linear(self, weight: Tensor, bias: Tensor | None) -> nn.Module:
        outputs, inputs = weight.shape
        return self._plain(nn.Linear, weight, bias, in_features=inputs, out_features=outputs)
