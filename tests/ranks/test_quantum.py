from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankfold import Fixed, Fraction, OptionError, Quantum
from rankfold.formats import checked_ranks
from rankfold.ranks import quantized_rank

RANKS = st.tuples(st.integers(1, 300), st.integers(1, 300)).map(sorted)


@pytest.mark.parametrize(
    ("rank", "expected"),
    [(1, 1), (4, 4), (5, 5), (11, 11), (12, 16), (16, 16), (20, 16), (21, 21), (27, 27), (28, 32), (100, 96)],
)
def test_near_a_multiple_it_is_the_multiple(rank: int, expected: int) -> None:
    assert quantized_rank(rank, 512) == expected


def test_never_above_the_size() -> None:
    assert [quantized_rank(rank, 30) for rank in (28, 29, 30)] == [28, 29, 30]
    assert [quantized_rank(rank, 32) for rank in (28, 29, 30)] == [32, 32, 32]


@given(RANKS, st.integers(1, 64))
def test_in_range_near_and_stable(ranks: list[int], quantum: int) -> None:
    rank, size = ranks
    rounded = quantized_rank(rank, size, quantum)
    assert 1 <= rounded <= size
    assert 4 * abs(rounded - rank) <= quantum
    assert quantized_rank(rounded, size, quantum) == rounded
    assert quantized_rank(rank, size, 1) == rank


@given(RANKS, st.integers(300, 400))
def test_more_gives_no_less(ranks: list[int], size: int) -> None:
    few, many = ranks
    assert quantized_rank(few, size) <= quantized_rank(many, size)


@given(st.lists(st.integers(1, 90), min_size=2, max_size=4).map(tuple), st.floats(0, 1, exclude_min=True))
def test_ranks_are_feasible(shape: tuple[int, ...], share: float) -> None:
    modes = tuple(range(len(shape)))
    ranks = Quantum(Fraction(share))(shape, modes)
    assert checked_ranks("test", ranks, shape, modes) == ranks
    assert all(rank <= prod(ranks) // rank for rank in ranks)


def test_it_wraps_policies_and_numbers() -> None:
    assert Quantum(0.25) == Quantum(Fraction(0.25), 16)
    assert Quantum(30) == Quantum(Fixed(30))
    assert Quantum(30)((64, 24, 3, 3), (0, 1)) == (32, 24)
    assert Quantum(30, 8)((64, 64), (0, 1)) == (32, 32)
    assert Quantum(30, 1)((64, 64), (0, 1)) == (30, 30)


@pytest.mark.parametrize("quantum", [0, -16, 1.5, True, "16", None])
def test_refused_quantum(quantum: object) -> None:
    with pytest.raises(OptionError, match="Quantum: quantum must be a whole number of at least 1"):
        Quantum(0.5, quantum)


def test_refused_policy() -> None:
    with pytest.raises(OptionError):
        Quantum("half")
