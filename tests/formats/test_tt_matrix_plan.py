"""The plan of a contraction against all orders there are, and against the operations that torch counts."""

from collections.abc import Iterator
from itertools import pairwise, permutations
from math import prod
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.flop_counter import FlopCounterMode

from rankfold.formats import (
    contracted,
    core_shapes,
    cores_of,
    full_bonds,
    plan_contraction,
    plan_modes,
)


def all_groups(first: int, last: int) -> Iterator[Any]:
    if first == last:
        yield first
    for middle in range(first, last):
        for left in all_groups(first, middle):
            for right in all_groups(middle + 1, last):
                yield (left, right)


def all_plans(first: int, last: int) -> Iterator[list[Any]]:
    """Every way to cut a train into groups, each multiplied in every way."""
    if first > last:
        yield []
    for end in range(first, last + 1):
        for group in all_groups(first, end):
            for rest in all_plans(end + 1, last):
                yield [group, *rest]


def counted(groups: tuple[Any, ...], out: Any, inner: Any, ranks: Any, rows: int, kept: bool) -> int:
    """Operations of pairwise sums over shared indices: two per value of all indices of both sides."""
    sizes = {("row", 0): rows}
    for k, (o, i) in enumerate(zip(out, inner, strict=True)):
        sizes |= {
            ("out", k): o,
            ("in", k): i,
            ("bond", k): (1, *ranks, 1)[k],
            ("bond", k + 1): (1, *ranks, 1)[k + 1],
        }
    total = 0

    def of_core(k: int) -> set[tuple[str, int]]:
        return {("out", k), ("in", k), ("bond", k), ("bond", k + 1)}

    def merge(group: Any) -> set[tuple[str, int]]:
        nonlocal total
        if isinstance(group, int):
            return of_core(group)
        left, right = merge(group[0]), merge(group[1])
        total += 0 if kept else 2 * prod(sizes[index] for index in left | right)
        return left ^ right

    state = {("row", 0), *(("in", k) for k in range(len(inner)))}
    for group in groups:
        part = merge(group)
        total += 2 * prod(sizes[index] for index in state | part)
        state ^= part
        # The bonds at both ends are shared by nobody and of size 1.
        state -= {("bond", 0), ("bond", len(inner))}
    assert state == {("row", 0), *(("out", k) for k in range(len(out)))}
    return total


sizes = st.lists(st.tuples(st.integers(1, 6), st.integers(1, 6), st.integers(1, 6)), min_size=2, max_size=4)


@settings(max_examples=60)
@given(sizes=sizes, rows=st.sampled_from([0, 1, 2, 17, 300]), kept=st.booleans())
def test_no_order_takes_fewer_operations(sizes: list[tuple[int, int, int]], rows: int, kept: bool) -> None:
    out, inner, ranks = zip(*sizes, strict=True)
    ranks = ranks[1:]
    last = len(out) - 1
    plans = [
        (order, counted(order, out, inner, ranks, rows, kept))
        for groups in all_plans(0, last)
        for order in permutations(groups)
    ]
    found = plan_contraction(out, inner, ranks, rows, kept=kept)
    assert found.flops == counted(found.groups, out, inner, ranks, rows, kept)
    assert found.flops == min(flops for _, flops in plans)
    chain = plan_contraction(out, inner, ranks, rows, execution="chain")
    assert all(isinstance(group, int) for group in chain.groups)
    assert chain.flops == min(flops for order, flops in plans if all(isinstance(g, int) for g in order))
    dense = plan_contraction(out, inner, ranks, rows, execution="dense", kept=kept)
    assert cores_of(dense.groups[0]) == (0, last)
    assert dense.flops == min(flops for order, flops in plans if len(order) == 1)


@pytest.mark.parametrize("execution", ["chain", "dense", None])
@pytest.mark.parametrize("count", [2, 3, 4])
@pytest.mark.parametrize("rank", [1, 2, 5, 9])
def test_operations_are_those_that_torch_counts(execution: Any, count: int, rank: int) -> None:
    out, inner = plan_modes(72, count), plan_modes(60, count)
    ranks = [min(rank, bond) for bond in full_bonds(out, inner)]
    plan = plan_contraction(out, inner, ranks, 7, execution=execution)
    cores = [torch.randn(shape) for shape in core_shapes(out, inner, ranks)]
    with FlopCounterMode(display=False) as counter:
        result = contracted(cores, torch.randn(7, 60), plan)
    assert result.shape == (7, 72)
    assert counter.get_total_flops() == plan.flops


def test_bytes_of_two_cores() -> None:
    # State 5 x (3 x 4), cores 1 x 2 x 3 x 7 and 7 x 6 x 4 x 1; the first core in: 5 x 4 x 2 x 7.
    plan = plan_contraction((2, 6), (3, 4), (7,), 5, execution="chain", element_size=8)
    ways = {(0, 1): 5 * 4 * 2 * 7, (1, 0): 5 * 3 * 6 * 7}
    between = ways[plan.groups]
    assert plan.bytes == 8 * (5 * 12 + 42 + between + between + 168 + 5 * 12)
    dense = plan_contraction((2, 6), (3, 4), (7,), 5, execution="dense", element_size=8)
    assert dense.bytes == 8 * (42 + 168 + 144 + 5 * 12 + 144 + 5 * 12)
    kept = plan_contraction((2, 6), (3, 4), (7,), 5, execution="dense", kept=True, element_size=8)
    assert kept.bytes == 8 * (5 * 12 + 144 + 5 * 12)


def test_the_rule_of_three_equal_cores() -> None:
    """For many rows a sweep takes ``r_1 + r_1 r_2 + r_2`` products where the dense matrix takes a mode pair's."""
    sizes, rows = (16, 16, 16), 10**9
    for rank in (2, 8, 15, 16, 40):
        chain, dense = (
            plan_contraction(sizes, sizes, (rank, rank), rows, execution=way) for way in ("chain", "dense")
        )
        assert chain.flops == 2 * rows * 16**4 * (2 * rank + rank**2)
        assert dense.flops - 2 * rows * 16**6 < 1e-5 * dense.flops
        best = plan_contraction(sizes, sizes, (rank, rank), rows)
        assert best.groups == (chain.groups if 2 * rank + rank**2 < 256 else dense.groups)


def test_long_trains_are_planned_at_once() -> None:
    for count in (8, 9, 40):
        plan = plan_contraction((2,) * count, (2,) * count, (3,) * (count - 1), 4)
        covered = sorted(cores_of(group) for group in plan.groups)
        assert covered[0][0] == 0
        assert covered[-1][1] == count - 1
        assert all(after[0] == before[1] + 1 for before, after in pairwise(covered))
