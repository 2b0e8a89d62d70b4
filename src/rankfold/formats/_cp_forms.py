"""Unit columns, balanced columns and the canonical order of CP components.

Axes: n_i dimensions, R components.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from rankfold.formats._scale import scaled, shifted
from rankfold.formats._signs import same, sign_of_largest

__all__ = ["balanced", "canonical_order", "positive_columns", "unit_columns"]


def unit_columns(weights: Tensor, factors: Sequence[Tensor]) -> tuple[Tensor, Tensor, list[Tensor]]:
    """Mantissas >= 0 and exponents of the component norms, ``(R,)``, and columns of norm 1, all float64.

    Signs go to the first mode; the norm of a component is ``mantissa * 2**exponent``; a column of zeros becomes
    the first unit vector, and its component gets mantissa 0.
    """
    signed, exponent = scaled(weights.unsqueeze(0), columns=True)
    mantissa, units = signed[0].abs(), []
    for mode, factor in enumerate(factors):
        work, shift = scaled(factor, columns=True)
        norms = torch.linalg.vector_norm(work, dim=0)
        first = torch.zeros_like(work)
        first[:1] = 1.0
        unit = torch.where(norms > 0, work / torch.where(norms > 0, norms, 1.0), first)
        units.append(torch.where(signed[0] < 0, -unit, unit) if mode == 0 else unit)
        mantissa, exponent = mantissa * norms, exponent + shift
    return mantissa, exponent, units


def balanced(mantissa: Tensor, exponent: Tensor, units: Sequence[Tensor]) -> list[Tensor]:
    """Columns of equal norm in every mode whose products are the components."""
    # A whole power of two per mode and the rest in the root, for a fractional one would cost digits.
    whole = (exponent / len(units)).floor()
    root = (mantissa * torch.exp2(exponent - whole * len(units))) ** (1 / len(units))
    share = torch.where(mantissa > 0, shifted(root, whole), 0.0)
    return [unit * share for unit in units]


def positive_columns(units: Sequence[Tensor], weights: Tensor, dtype: torch.dtype) -> list[Tensor]:
    """Turn signs so that the largest entry of every column is positive in all modes but the first.

    Components of weight zero all become the same product of first unit vectors.
    """
    columns, sign = [], torch.ones_like(weights)
    for unit in units[1:]:
        turn = sign_of_largest(unit, dtype)
        columns.append(unit * turn)
        sign = sign * turn
    columns.insert(0, units[0] * sign)
    for column in columns:
        first = torch.zeros_like(column)
        first[:1] = 1.0
        column.copy_(torch.where(weights > 0, column, first))
    return columns


def canonical_order(weights: Tensor, columns: Sequence[Tensor], dtype: torch.dtype) -> list[int]:
    """Largest weight first; equal weights in the order of their columns' entries, largest first."""
    values, unit = weights.tolist(), same(dtype)
    order = sorted(range(len(values)), key=lambda r: -values[r])
    result: list[int] = []
    group: list[int] = []
    for index in order:  # equal weights stand side by side now
        if group and values[group[0]] - values[index] <= unit * values[order[0]]:
            group.append(index)
        else:
            group = [index]
        result.append(index)
        if len(group) > 1:
            rounded = {r: [round(x / unit) for c in columns for x in c[:, r].tolist()] for r in group}
            result[-len(group) :] = sorted(group, key=lambda r: [-x for x in rounded[r]])
    return result
