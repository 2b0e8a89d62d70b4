"""Linear layers and embeddings of a model -> the same layers over TT-matrices, in place."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from rankfold._errors import NonFiniteError
from rankfold.convert._attention import on_split_attention
from rankfold.convert._bonds import choose_bonds, groups_with_bonds
from rankfold.convert._candidates import Candidate, convertible
from rankfold.convert._conversion import Conversion
from rankfold.convert._exchange import exchanged
from rankfold.convert._rules import TT_MATRIX_RULES
from rankfold.convert._select import Selector
from rankfold.formats import TTMatrix
from rankfold.layers import TTMatrixLayer
from rankfold.ranks import RankPolicy

__all__ = ["convert_to_tt_matrix"]


@torch.inference_mode(False)  # parameters made in inference mode could never be trained
@on_split_attention
def convert_to_tt_matrix(
    model: nn.Module,
    policy: RankPolicy,
    cores: int,
    *,
    include: Selector | Sequence[Selector] | None = None,
    exclude: Selector | Sequence[Selector] | None = None,
    rescale: bool = False,
    example_inputs: Any = None,
) -> Conversion:
    """:func:`rankfold.factorize` for the format ``tt_matrix``; the arguments are its."""
    candidates = convertible(model, include, exclude, TT_MATRIX_RULES)
    groups = groups_with_bonds(candidates, cores)
    for group in groups:
        weight = group[0].weight
        assert weight is not None
        if not bool(weight.isfinite().all()):
            raise NonFiniteError(
                f"layer {group[0].names[0]!r}: its weight holds NaN or infinity; mend it or exclude the layer."
            )
    for group, ranks in choose_bonds(model, groups, policy, cores):
        _build(group, ranks, cores, rescale)
    return exchanged(model, candidates, example_inputs)


def _build(group: list[Candidate], ranks: tuple[int, ...], cores: int, rescale: bool) -> None:
    """Layers for modules that share a weight; they share its cores."""
    first = group[0]
    for candidate in group:
        kind: Any = candidate.rule.layer
        layer: TTMatrixLayer = kind.like(candidate.module, rank=ranks, cores=cores)
        if candidate is first:
            weight = candidate.weight
            assert weight is not None
            with torch.no_grad():
                value = TTMatrix.from_dense(weight, layer.out_sizes, layer.in_sizes, ranks=ranks)
            layer.assign_approximation(value, weight, rescale=rescale)
        else:
            assert first.factorized is not None
            layer.share(first.factorized)  # pyright: ignore[reportArgumentType]
        candidate.factorized = layer
