"""Products with all factors but one or two, against einsum over all indices."""

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given, settings
from tests.decompose.cp_problems import LETTERS, drawn, noise
from torch import Tensor

from rankfold.decompose._tree import contract_except, mttkrp, mttkrps
from rankfold.testing import assert_same

SHAPES = st.lists(st.integers(1, 4), min_size=2, max_size=5).map(tuple)


def oracle(tensor: Tensor, factors: list[Tensor], *keep: int) -> Tensor:
    letters = LETTERS[: tensor.ndim]
    others = [mode for mode in range(tensor.ndim) if mode not in keep]
    rank = factors[0].shape[1]
    ones = torch.ones(rank, dtype=tensor.dtype)
    terms = ",".join([letters, "r", *(f"{letters[mode]}r" for mode in others)])
    kept = "".join(letters[mode] for mode in keep)
    target = f"{kept}r" if len(keep) == 1 else f"r{kept}"
    return torch.einsum(f"{terms}->{target}", tensor, ones, *(factors[mode] for mode in others))


@given(shape=SHAPES, rank=st.integers(1, 4), seed=st.integers(0, 99))
@settings(max_examples=60)
def test_every_mode(shape: tuple[int, ...], rank: int, seed: int) -> None:
    tensor, factors = noise(shape, seed), drawn(shape, rank, seed)
    terms = tensor.numel()
    visited = list(mttkrps(tensor, factors))
    assert [mode for mode, _ in visited] == list(range(len(shape)))
    for mode, result in visited:
        expected = oracle(tensor, factors, mode)
        assert_same(result, expected, terms=terms)
        assert_same(mttkrp(tensor, factors, mode), expected, terms=terms)


@given(shape=SHAPES, rank=st.integers(1, 4), seed=st.integers(0, 99))
@settings(max_examples=60)
def test_every_pair_of_modes(shape: tuple[int, ...], rank: int, seed: int) -> None:
    tensor, factors = noise(shape, seed), drawn(shape, rank, seed)
    for first in range(len(shape)):
        for second in range(first + 1, len(shape)):
            result = contract_except(tensor, factors, first, second)
            assert_same(result, oracle(tensor, factors, first, second), terms=tensor.numel())


@given(shape=SHAPES, rank=st.integers(1, 3), seed=st.integers(0, 99))
def test_factors_are_read_when_they_are_needed(shape: tuple[int, ...], rank: int, seed: int) -> None:
    tensor, factors, new = noise(shape, seed), drawn(shape, rank, seed), drawn(shape, rank, seed + 100)
    for mode, result in mttkrps(tensor, factors):
        assert_same(result, oracle(tensor, factors, mode), terms=tensor.numel())
        factors[mode] = new[mode]


@pytest.mark.parametrize("shape", [(3, 4), (3, 4, 5), (2, 3, 4, 3), (2, 3, 2, 3, 2)])
def test_factors_that_are_left_out_are_not_read(shape: tuple[int, ...]) -> None:
    tensor, factors = noise(shape, 0), drawn(shape, 2, 0)
    for mode in range(len(shape)):
        holed = [torch.full_like(f, torch.nan) if axis == mode else f for axis, f in enumerate(factors)]
        assert bool(mttkrp(tensor, holed, mode).isfinite().all())
        for second in range(mode + 1, len(shape)):
            pair = [torch.full_like(f, torch.nan) if axis == second else f for axis, f in enumerate(holed)]
            assert bool(contract_except(tensor, pair, mode, second).isfinite().all())


@pytest.mark.parametrize("shape", [(7, 6), (5, 6, 7), (4, 3, 5, 4)])
def test_float32(shape: tuple[int, ...]) -> None:
    tensor, factors = noise(shape, 1), drawn(shape, 3, 1)
    single = [factor.float() for factor in factors]
    for mode, result in mttkrps(tensor.float(), single):
        assert result.dtype == torch.float32
        assert_same(result, oracle(tensor, factors, mode), terms=tensor.numel())
