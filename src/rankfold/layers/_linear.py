"""Factorised fully connected layer.

Axes: O outputs, I inputs, P and Q ranks. W_OI = U_OP S_PQ V_IQᵀ.
"""

from typing import Any

import torch
from torch import Tensor, nn

from rankfold.layers._base import FactorizedLayer, RankLike
from rankfold.layers._chain import Chain
from rankfold.layers._sides import MatrixSide
from rankfold.layers._windows import MatrixWindow

__all__ = ["Linear"]

_SIDE, _WINDOW = MatrixSide(), MatrixWindow(incoming=1)
_CHAINS: dict[tuple[int, ...], Chain] = {
    sides: Chain(
        _SIDE if 1 in sides else None, _WINDOW, _SIDE if 0 in sides else None, (1, 0), plain=len(sides) == 2
    )
    for sides in ((0, 1), (0,), (1,), ())
}


class Linear(FactorizedLayer):
    """``nn.Linear`` with the weight U S Vᵀ: three thin products instead of one wide one.

    Arguments:
        in_features, out_features, bias, device, dtype: as of ``nn.Linear``.
        rank: one number, a pair (output, input), or a rank policy.
        generator: source of the random initial values; None is torch's global one.

    Raises:
        RankError: a rank above ``min(in_features, out_features)`` or below 1.

    Example:
        >>> import torch
        >>> layer = Linear(800, 500, rank=8)
        >>> layer(torch.zeros(2, 800)).shape, layer.ranks, layer.tucker.num_parameters
        (torch.Size([2, 500]), (8, 8), 10464)
    """

    dense_class = nn.Linear
    dense_arguments = ("in_features", "out_features")

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
        shape, size = (out_features, in_features), out_features if bias else None
        self._create(shape, size, rank, (0, 1), generator, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        """Map ``(..., in_features)`` to ``(..., out_features)``."""
        return self._run(input)

    def _chain(self, sides: tuple[int, ...], *details: Any) -> Chain:
        return _CHAINS[sides]

    def _fold_stages(self, keep: tuple[int, ...]) -> list[nn.Module]:
        weights = [self._absorbed(keep)]
        if 1 in keep:
            weights.insert(0, self.factors[1].mT)
        if 0 in keep:
            weights.append(self.factors[0])
        biases = [None] * (len(weights) - 1) + [self.bias]
        return [
            self._plain(nn.Linear, weight, bias, in_features=weight.shape[1], out_features=weight.shape[0])
            for weight, bias in zip(weights, biases, strict=True)
        ]
