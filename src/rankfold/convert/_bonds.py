"""Bonds of TT-matrices by the rank policies that can speak of them."""

from collections.abc import Sequence
from functools import reduce
from math import prod
from operator import add
from typing import Any

import torch
from torch import Tensor, nn

from rankfold._errors import OptionError
from rankfold.convert import _timing
from rankfold.convert._calls import recorded_calls
from rankfold.convert._candidates import Candidate
from rankfold.convert._latency import Latency, largest_fitting
from rankfold.convert._weight_views import Group, reached, weight_groups
from rankfold.formats import TTMatrix, core_shapes, full_bonds, plan_modes
from rankfold.ranks import Call, Fixed, Fraction, RankPolicy, Shares, Tolerance

__all__ = ["choose_bonds", "groups_with_bonds", "share_of_bonds"]

Bonds = tuple[int, ...]
_Sizes = tuple[tuple[int, ...], tuple[int, ...]]


def groups_with_bonds(candidates: Sequence[Candidate], cores: int) -> list[Group]:
    """The weights whose rows or columns have factors to share; the layers of the others get the reason."""
    found = []
    for group in weight_groups(candidates):
        weight = group[0].weight
        assert weight is not None
        if max(full_bonds(*(plan_modes(size, cores) for size in weight.shape))) > 1:
            found.append(group)
            continue
        for candidate in group:
            candidate.reason = "neither its rows nor its columns split into factors that bonds could share"
    return found


def share_of_bonds(share: float, full: Bonds) -> Bonds:
    """A share of every full bond, rounded, at least 1."""
    return tuple(max(1, round(share * bond)) for bond in full)


def choose_bonds(
    model: nn.Module, groups: list[Group], policy: RankPolicy, cores: int
) -> list[tuple[Group, Bonds]]:
    """Bonds for each weight; the layers of those that stay dense get the reason.

    Arguments:
        model: the dense model; run once for a policy that measures.
        groups: the layers that share a weight, for each that can be converted.
        policy: one number for all bonds, a share of the full bonds, an error, or a time.
        cores: number of factors that rows and columns are split into.

    Returns:
        The layers to convert, and the bonds of their weight.

    Raises:
        OptionError: another policy.
    """
    calls: dict[nn.Module, tuple[Call, ...]] = {}
    if isinstance(policy, Latency):
        layers = [candidate.module for group in groups for candidate in group]
        calls = recorded_calls(model, layers, policy.example_inputs, training=policy.training)
        groups = reached(model, groups, calls, policy.training)
    elif not isinstance(policy, Fixed | Fraction | Shares | Tolerance):
        raise OptionError(
            f"factorize: {type(policy).__name__} gives ranks of modes, not of the bonds of a TT-matrix; pass a whole "
            "number, a share, a Tolerance or a Latency."
        )
    chosen = []
    for group in groups:
        answer = _bonds(group, policy, cores, calls)
        if isinstance(answer, str):
            for candidate in group:
                candidate.reason = answer
        else:
            chosen.append((group, answer))
    return chosen


def _bonds(
    group: Group, policy: RankPolicy, cores: int, calls: dict[nn.Module, tuple[Call, ...]]
) -> Bonds | str:
    weight = group[0].weight
    assert weight is not None
    rows, columns = weight.shape
    sizes = plan_modes(rows, cores), plan_modes(columns, cores)
    full = full_bonds(*sizes)
    if isinstance(policy, Fixed):
        return tuple(min(policy.rank, bond) for bond in full)
    if isinstance(policy, Fraction):
        return share_of_bonds(policy.share, full)
    if isinstance(policy, Shares):
        return share_of_bonds(policy.share_of(group[0].names[0]), full)
    if isinstance(policy, Latency):
        return _fast_enough(group, policy, sizes, calls)
    assert isinstance(policy, Tolerance)
    with torch.no_grad():
        value = TTMatrix.from_dense(weight, *sizes, tolerance=policy.tolerance)
    if value.num_parameters >= weight.numel():
        return "kept dense: at this tolerance a TT-matrix saves no parameters"
    return value.ranks


def _fast_enough(
    group: Group, policy: Latency, sizes: _Sizes, calls: dict[nn.Module, tuple[Call, ...]]
) -> Bonds | str:
    """The largest bonds, one power of two for all, at which the layers are as fast as asked for, by measurement."""
    full = full_bonds(*sizes)
    dense = prod(sizes[0]) * prod(sizes[1])
    powers = [2**exponent for exponent in range(max(full).bit_length())]
    every = [tuple(min(power, bond) for bond in full) for power in powers]
    levels = [bonds for bonds in every if sum(map(prod, core_shapes(*sizes, bonds))) < dense]
    if not levels:
        return "kept dense: no bonds save parameters"
    ratios: dict[int, float] = {}

    def fits(level: int) -> bool:
        ratios[level] = _share_of_dense_time(group, policy, levels[level], len(sizes[0]), calls)
        return ratios[level] <= 1 / policy.speedup

    level = largest_fitting(len(levels), fits)
    if level is not None:
        return levels[level]
    wanted = "" if policy.speedup == 1 else f", where {1 / policy.speedup:.2f}x was asked for"
    return f"kept dense: at bonds of {max(levels[0])} it takes {ratios[0]:.2f}x the dense time{wanted}"


def _share_of_dense_time(
    group: Group, policy: Latency, bonds: Bonds, cores: int, calls: dict[nn.Module, tuple[Call, ...]]
) -> float:
    timings = []
    for candidate in group:
        if not calls[candidate.module]:
            continue
        sides = [candidate.module, _stand_in(candidate, bonds, cores).train(policy.training)]
        timings.append(_timing.time_layers(sides, calls[candidate.module], training=policy.training))
    return reduce(add, timings).ratio(1)


def _stand_in(candidate: Candidate, bonds: Bonds, cores: int) -> nn.Module:
    kind: Any = candidate.rule.layer
    layer = kind.like(candidate.module, rank=bonds, cores=cores)
    weight: Tensor | None = candidate.weight
    assert weight is not None
    bias, layer.bias = layer.bias, None  # which is the model's own
    layer.reset_parameters(torch.Generator(weight.device).manual_seed(0))
    layer.bias = bias
    for part in layer.parts.values():
        part.requires_grad_(weight.requires_grad)
    return layer
