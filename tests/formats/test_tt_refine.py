"""Haar isometries turn tensor trains of short signals into those of long ones, and back."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rankfold import TT, ShapeError
from rankfold.formats import haar_isometry
from rankfold.testing import assert_same


def random_tt(shape: tuple[int, ...], rank: int) -> TT:
    bonds = [1, *[rank] * (len(shape) - 1), 1]
    sizes = zip(bonds[:-1], shape, bonds[1:], strict=True)
    return TT(tuple(torch.randn(size, dtype=torch.float64) for size in sizes))


def features(signal: Tensor) -> list[Tensor]:
    return [torch.stack([torch.ones_like(x), x]) for x in signal]


def applied(value: TT, signal: Tensor) -> Tensor:
    """The tensor on the product of the features of a signal."""
    return value.mode_products({k: phi[None] for k, phi in enumerate(features(signal))}).to_dense().squeeze()


def test_haar_is_an_isometry() -> None:
    matrix = haar_isometry().flatten(1)
    assert (matrix @ matrix.mT - torch.eye(2, dtype=torch.float64)).abs().max() < 1e-12


@given(x=st.floats(-9, 9), y=st.floats(-9, 9))
def test_haar_takes_features_to_features(x: float, y: float) -> None:
    first, second = features(torch.tensor([x, y], dtype=torch.float64))
    (coarse,) = features(torch.tensor([(x + y) / 2**0.5], dtype=torch.float64))
    found = torch.einsum("tsu,s,u->t", haar_isometry(), first, second)
    assert (found - coarse).abs().max() < 1e-12


@pytest.mark.parametrize(("samples", "rank"), [(2, 3), (3, 1), (8, 5)])
def test_a_refined_train_gives_the_same_on_finer_signals(samples: int, rank: int) -> None:
    value = random_tt((2,) * samples, rank)
    fine = value
    for level in (1, 2):
        fine = fine.refine(haar_isometry())
        signal = torch.rand(samples * 2**level, dtype=torch.float64)
        coarse = signal
        for _ in range(level):
            coarse = (coarse[0::2] + coarse[1::2]) / 2**0.5
        assert fine.shape == (2,) * (samples * 2**level)
        assert max(fine.ranks) <= 2 * rank
        found, expected = applied(fine, signal), applied(value, coarse)
        size = applied(TT(tuple(core.abs() for core in value.cores)), coarse.abs())  # had nothing cancelled
        assert (found - expected).abs() < 1e-10 * size


def test_coarsening_undoes_refinement_and_projects() -> None:
    value = random_tt((2, 2, 2, 2), 4)
    back = value.refine(haar_isometry()).coarsen(haar_isometry())
    assert back.ranks == value.ranks
    assert_same(back.to_dense(), value.to_dense(), terms=100)
    assert_same(value.refine(haar_isometry()).norm(), value.norm(), terms=100)
    fine = random_tt((2,) * 6, 3)
    once = fine.coarsen(haar_isometry()).refine(haar_isometry())
    twice = once.coarsen(haar_isometry()).refine(haar_isometry())
    assert once.norm() < 0.9 * fine.norm()
    assert_same(twice.to_dense(), once.to_dense(), terms=100)
    assert_same(once.inner(fine), once.norm() ** 2, terms=100)  # the orthogonal projection


def test_other_isometries_and_some_modes() -> None:
    isometry = torch.linalg.qr(torch.randn(6, 4, dtype=torch.float64)).Q.mT.reshape(4, 3, 2)
    value = random_tt((4, 5, 4), 3)
    fine = value.refine(isometry, modes=(0, 2))
    assert fine.shape == (3, 2, 5, 3, 2)
    expected = torch.einsum("tnv,tsu,vwx->sunwx", value.to_dense(), isometry, isometry)
    assert_same(fine.to_dense(), expected, terms=100)
    assert_same(fine.coarsen(isometry, modes=(0, 3)).to_dense(), value.to_dense(), terms=100)


def test_zeros_and_gradients() -> None:
    zero = TT((torch.zeros(1, 2, 3), torch.zeros(3, 2, 1))).refine(haar_isometry(torch.float32))
    assert not zero.to_dense().any()
    assert all(core.isfinite().all() for core in zero.cores)
    cores = [core.requires_grad_() for core in random_tt((2, 2, 2, 2), 2).cores]

    def coarse(*given: Tensor) -> Tensor:
        return TT(given).coarsen(haar_isometry()).to_dense()

    assert torch.autograd.gradcheck(coarse, cores)


def test_what_does_not_fit_is_refused() -> None:
    value = random_tt((2, 3, 2, 2), 2)
    for function, options, message in (
        (value.refine, {}, "mode 1 has size 3"),
        (value.coarsen, {}, "modes 0 and 1 have the sizes"),
        (value.coarsen, {"modes": (2, 3)}, "no mode in two pairs"),
        (value.coarsen, {"modes": (3,)}, "modes 3 and 4"),
        (value.refine, {"modes": (7,)}, "distinct numbers in"),
        (value.refine, {"modes": ()}, "at least one"),
        (value.refine, {"modes": ("a",)}, "distinct numbers in"),
        (value.coarsen, {"modes": 0}, "got 0; pass such"),
    ):
        with pytest.raises(ShapeError, match=message):
            function(haar_isometry(), **options)
