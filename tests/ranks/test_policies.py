from collections.abc import Sequence
from math import prod

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankfold import Fixed, Fraction, OptionError, RankPolicy
from rankfold.formats import checked_ranks, full_ranks
from rankfold.ranks import ShapeRule, as_policy, as_rule

shapes = st.lists(st.integers(1, 40), min_size=2, max_size=5).map(tuple)
fixed = st.integers(1, 50).map(Fixed)
fraction = st.floats(0, 1, exclude_min=True).map(Fraction)


def some_modes(data: st.DataObject, shape: Sequence[int]) -> tuple[int, ...]:
    return tuple(sorted(data.draw(st.sets(st.integers(0, len(shape) - 1), min_size=1))))


@given(shapes, st.one_of(fixed, fraction), st.data())
def test_ranks_are_feasible(shape: tuple[int, ...], policy: ShapeRule, data: st.DataObject) -> None:
    modes = some_modes(data, shape)
    ranks = policy(shape, modes)
    assert checked_ranks("test", ranks, shape, modes) == ranks
    core = list(shape)
    for mode, rank in zip(modes, ranks, strict=True):
        core[mode] = rank
    assert all(core[mode] <= prod(core) // core[mode] for mode in modes)


@given(shapes, st.tuples(fixed, fixed), st.tuples(fraction, fraction), st.data())
def test_more_gives_no_less(
    shape: tuple[int, ...], fixed: tuple, fraction: tuple, data: st.DataObject
) -> None:
    modes = some_modes(data, shape)
    few, many = sorted(fixed, key=lambda policy: policy.rank)
    assert all(a <= b for a, b in zip(few(shape, modes), many(shape, modes), strict=True))
    few, many = sorted(fraction, key=lambda policy: policy.share)
    assert all(a <= b for a, b in zip(few(shape, modes), many(shape, modes), strict=True))


@given(shapes, st.data())
def test_all_of_it_is_full_rank(shape: tuple[int, ...], data: st.DataObject) -> None:
    modes = some_modes(data, shape)
    assert Fraction(1.0)(shape, modes) == Fixed(max(shape))(shape, modes) == full_ranks(shape, modes)


def test_a_tiny_share_is_rank_one() -> None:
    assert Fraction(1e-9)((64, 32, 3, 3), (0, 1)) == (1, 1)


@pytest.mark.parametrize("rank", [0, -1, 1.5, 2.0, True, "2", None])
def test_fixed_refuses(rank: object) -> None:
    with pytest.raises(OptionError, match="Fixed: rank must be a whole number"):
        Fixed(rank)


@pytest.mark.parametrize("share", [0, -0.1, 1.1, float("nan"), float("inf"), True])
def test_fraction_refuses(share: object) -> None:
    with pytest.raises(OptionError, match=r"Fraction: share must lie in \(0, 1\]"):
        Fraction(share)


def test_numbers_become_policies() -> None:
    def own(shape: Sequence[int], modes: Sequence[int]) -> tuple[int, ...]:
        return (1,) * len(modes)

    assert as_policy(3) == Fixed(3)
    assert as_policy(0.25) == as_policy(Fraction(0.25)) == Fraction(0.25)
    assert as_policy(1.0) == Fraction(1.0)
    rule = as_policy(own)
    assert isinstance(rule, RankPolicy)
    assert as_policy(rule) is rule
    assert as_rule("test", own)((6, 5), (0, 1)) == own((6, 5), (0, 1))


@pytest.mark.parametrize("rank", [0, True, 0.0, 1.5, "half", None, [2, 2]])
def test_neither_policy_nor_number(rank: object) -> None:
    with pytest.raises(OptionError):
        as_policy(rank)


def test_text_is_read_by_parse_policy() -> None:
    with pytest.raises(
        OptionError, match=r"got the text 'evbmf'; pass the policy that rankfold.parse_policy"
    ):
        as_policy("evbmf")  # pyright: ignore[reportArgumentType]


def test_numbers_of_numpy_are_numbers() -> None:
    assert as_policy(np.int64(4)) == Fixed(4)
    assert as_policy(np.float32(0.5)) == Fraction(0.5)
    assert Fixed(np.int64(3))((8, 8), (0, 1)) == (3, 3)


@pytest.mark.parametrize("given", [4, None, "88"])
def test_a_function_that_gives_no_ranks_is_told(given: object) -> None:
    policy = as_policy(lambda shape, modes: given)  # pyright: ignore[reportArgumentType]
    assert isinstance(policy, ShapeRule)
    with pytest.raises(OptionError, match=r"return one rank for each of the modes \(0, 1\)"):
        policy((8, 6), (0, 1))
