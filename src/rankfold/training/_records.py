"""What is written down about a truncation."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rankfold.layers import FactorizedLayer
from rankfold.linalg import HOSVD

__all__ = ["Cut", "RankRecord", "parameters_of", "rank_records"]


@dataclass(frozen=True, slots=True, kw_only=True)
class RankRecord:
    """One truncation of one layer.

    Arguments:
        step: optimiser step after which it happened, from 1.
        layer: name of the layer.
        ranks_before: core dimensions at the start of the cycle, before augmentation.
        ranks: core dimensions now.
        modes: the factorised ones; ranks of the others are sizes of the weight.
        parameters: numbers in the layer now, a bias among them.
        truncation_error: Frobenius norm of what was cut, relative to the norm of the weight.
        orthonormality_defect: largest ``|UᵀU - I|`` over the factors.
        rank_capped: the tolerance asked for more than there was: nothing was cut from a widened mode that has
            room beyond, or ``max_rank`` cut deeper than the tolerance.
    """

    step: int
    layer: str
    ranks_before: tuple[int, ...]
    ranks: tuple[int, ...]
    modes: tuple[int, ...]
    parameters: int
    truncation_error: float
    orthonormality_defect: float
    rank_capped: bool


@dataclass(frozen=True, slots=True, eq=False)
class Cut:
    """What a truncation knows of one layer, which is truncated already.

    Arguments:
        name, layer: the layer.
        result: of its core.
        norm: of the core before.
        augmented: ranks before the truncation.
        before: ranks before the cycle.
    """

    name: str
    layer: FactorizedLayer
    result: HOSVD
    norm: Tensor
    augmented: tuple[int, ...]
    before: tuple[int, ...]


def rank_records(cuts: Sequence[Cut], step: int, adaptive: bool) -> list[RankRecord]:
    """Records of one truncation; the numbers of all layers come to the host together."""
    device = cuts[0].norm.device
    measured = [
        torch.stack(
            [
                part.to(device, torch.float64)
                for part in (c.result.error, c.norm, c.layer.tucker.orthonormality_defect())
            ]
        )
        for c in cuts
    ]
    return [
        RankRecord(
            step=step,
            layer=cut.name,
            ranks_before=cut.before,
            ranks=cut.layer.ranks,
            modes=tuple(cut.layer.modes),
            parameters=parameters_of(cut.layer),
            truncation_error=error / norm if norm else 0.0,
            orthonormality_defect=defect,
            rank_capped=adaptive and _capped(cut),
        )
        for cut, (error, norm, defect) in zip(cuts, torch.stack(measured).tolist(), strict=True)
    ]


def parameters_of(layer: FactorizedLayer) -> int:
    """Numbers in a layer, a bias among them."""
    return sum(parameter.numel() for parameter in layer.parameters())


def _capped(cut: Cut) -> bool:
    for mode, demanded in cut.result.demanded.items():
        uncut = cut.before[mode] < cut.augmented[mode] == demanded < cut.layer.weight_shape[mode]
        if uncut or cut.layer.ranks[mode] < demanded:
            return True
    return False
