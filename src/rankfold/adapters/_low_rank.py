"""The adapter ``W + U S V^T``: a factorised layer beside the frozen one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from rankfold.adapters._change import Change
from rankfold.convert import Candidate
from rankfold.formats import checked_ranks
from rankfold.layers import FactorizedLayer
from rankfold.ranks import RankPolicy, as_rule

__all__ = ["LowRank", "LowRankChange"]


class LowRankChange(Change):
    """A change that is a Tucker tensor; :class:`rankfold.TDLRT` trains it and finds its ranks.

    Arguments:
        layer: factorised, of the geometry of the frozen layer and without bias.
    """

    def __init__(self, layer: FactorizedLayer) -> None:
        super().__init__()
        self.layer = layer

    def changed(self, weight: Tensor) -> Tensor:
        """W plus the change."""
        change = self.layer.weight
        return weight.to(change.dtype) + change

    def run(self, base: nn.Module, *inputs: Any) -> Tensor:
        """Both layers side by side, so that no dense matrix is made."""
        given = inputs[0]
        own = given.to(self.layer.core.dtype) if given.is_floating_point() else given
        result = base(*inputs)
        return result + self.layer(own).to(result.dtype)


@dataclass(frozen=True, slots=True)
class LowRank:
    """Adapters ``W + U S V^T`` (convolutions: Tucker along the channel modes) of zero core and random bases.

    Train them with ``TDLRT(model, ..., integrator="parallel", core_steps=1)``, the single-gradient step of GeoLoRA, and
    one ``parameter_budget`` over all layers finds the ranks; begin with twice as much and a ``budget_warmup`` over half
    of the steps. Any optimiser trains them at fixed ranks. No factor ``alpha / r`` is applied, so that a change of rank
    never changes the function.

    Arguments:
        rank: to start from, a whole number, a share of the full ranks, or a rank policy of shapes.

    Reference:
        Schotthöfer et al. 2025, "GeoLoRA: Geometric integration for parameter efficient fine-tuning"; Hu et al. 2022,
        "LoRA".

    Example:
        >>> LowRank(4)
        LowRank(rank=4)
    """

    name: ClassVar[str] = "low_rank"
    summary: ClassVar[str] = "a low-rank matrix or Tucker tensor added to the weight; ranks by TDLRT"
    rank: RankPolicy | int | float = 8

    def changes(
        self, candidates: Sequence[Candidate], generator: torch.Generator | None
    ) -> list[Change | str]:
        """One change per layer."""
        rule = as_rule("adapters.LowRank", self.rank)
        return [LowRankChange(_zero_layer(candidate, rule, generator)) for candidate in candidates]


def _zero_layer(candidate: Candidate, rule: Any, generator: torch.Generator | None) -> FactorizedLayer:
    weight, kind = candidate.weight, candidate.rule.layer
    assert weight is not None
    modes = tuple(sorted(kind.channel_modes))
    where = f"adapters.LowRank: layer {candidate.names[0]!r}"
    ranks = checked_ranks(where, rule(tuple(weight.shape), modes), tuple(weight.shape), modes)
    layer = kind.like(candidate.module, rank=ranks)
    layer.register_parameter("bias", None)
    if weight.dtype.itemsize < 4:
        layer.float()  # small updates would be lost in half precision
    layer.reset_parameters(generator)
    with torch.no_grad():
        layer.core.zero_()
    return layer.requires_grad_()
