"""Multiply rows by the cores of a TT-matrix, as a contraction says.

Axes of core k: r_{k-1}, o_k, i_k, r_k; of the state: rows, then what is left of the input, what there is of the
output, and open bonds.
"""

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor

from rankfold.formats._tt_matrix_plan import Contraction, Group, cores_of

__all__ = ["contracted", "contracted_parts", "merged_core"]

_Label = tuple[str, int]


def contracted(cores: Sequence[Tensor], rows: Tensor, plan: Contraction) -> Tensor:
    """Products of a TT-matrix with rows ``(n, I)``; differentiable.

    Arguments:
        cores: of the TT-matrix.
        rows: of the precision of the cores.
        plan: for the sizes of these cores.

    Returns:
        ``(n, O)``.
    """
    parts = [(merged_core(cores, group), *cores_of(group)) for group in plan.groups]
    return contracted_parts(cores, rows, parts)


def contracted_parts(
    cores: Sequence[Tensor], rows: Tensor, parts: Sequence[tuple[Tensor, int, int]]
) -> Tensor:
    """As :func:`contracted`, with groups of cores that are multiplied already, each with its first and last core."""
    state = rows.reshape(rows.shape[0], *(core.shape[2] for core in cores))
    labels: list[_Label] = [("row", 0), *[("in", k) for k in range(len(cores))]]
    for part, first, last in parts:
        inner = [core.shape[2] for core in cores[first : last + 1]]
        part = part.unflatten(2, inner)
        own = [
            ("bond", first),
            ("out", first),
            *(("in", k) for k in range(first, last + 1)),
            ("bond", last + 1),
        ]
        if first == 0:  # the bonds at the ends are of size 1
            part, own = part[0], own[1:]
        if last == len(cores) - 1:
            part, own = part[..., 0], own[:-1]
        shared = [label for label in own if label in labels]
        axes = [labels.index(label) for label in shared], [own.index(label) for label in shared]
        state = torch.tensordot(state, part, axes)  # pyright: ignore[reportArgumentType]
        labels = [label for label in (*labels, *own) if label not in shared]
    outputs = [labels.index(("out", first)) for first in sorted([first for _, first, _ in parts])]
    return state.permute(0, *outputs).reshape(rows.shape[0], prod([core.shape[1] for core in cores]))


def merged_core(cores: Sequence[Tensor], group: Group) -> Tensor:
    """The product of neighbouring cores as one core ``(r, o, i, r')``."""
    if isinstance(group, int):
        return cores[group]
    left, right = (merged_core(cores, part) for part in group)
    product = torch.tensordot(left, right, 1)
    return product.permute(0, 1, 3, 2, 4, 5).flatten(3, 4).flatten(1, 2)
