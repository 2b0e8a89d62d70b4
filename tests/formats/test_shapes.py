from math import prod

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rankfold import RankError
from rankfold.formats import checked_ranks, feasible_ranks, full_ranks
from rankfold.linalg import unfold

shapes = st.lists(st.integers(1, 5), min_size=2, max_size=4).map(tuple)


@given(shapes)
def test_full_ranks_are_those_of_a_random_tensor(shape: tuple[int, ...]) -> None:
    tensor = torch.randn(shape, dtype=torch.float64)
    found = tuple(int(torch.linalg.matrix_rank(unfold(tensor, mode))) for mode in range(len(shape)))
    assert full_ranks(shape, range(len(shape))) == found


@given(shapes, st.data())
def test_feasible_ranks_are_the_largest_below(shape: tuple[int, ...], data: st.DataObject) -> None:
    modes = sorted(data.draw(st.sets(st.integers(0, len(shape) - 1), min_size=1)))
    ranks = list(shape)
    for mode, rank in zip(modes, feasible_ranks(shape, modes), strict=True):
        ranks[mode] = rank
    for mode in modes:
        others = prod(ranks) // ranks[mode]
        assert 1 <= ranks[mode] <= others
        assert ranks[mode] in (shape[mode], others)  # lowered only as far as needed


def test_checked_ranks() -> None:
    assert checked_ranks("here", 3, (5, 2, 4), (0, 1)) == (3, 2)
    assert checked_ranks("here", [1, 2], (5, 2, 4), (0, 1)) == (1, 2)
    with pytest.raises(RankError, match=r"^here: .*1\.\.5.*got 6"):
        checked_ranks("here", 6, (5, 2, 4), (0, 1))
    with pytest.raises(RankError, match=r"^here: .*one rank per mode, at most \(5, 2\)"):
        checked_ranks("here", [1, 3], (5, 2, 4), (0, 1))
